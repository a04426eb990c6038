package directput

import (
	"context"
)

// A record is one of a request. Data is nil when the member was absent.
type record struct{ Data *[]byte }

type putRecordInput struct {
	DeliveryStreamName *string
	Record             *record
}

type putRecordOutput struct {
	Encrypted bool
	RecordID  string `json:"RecordId"`
}

type putRecordBatchInput struct {
	DeliveryStreamName *string
	Records            []*record
}

type putRecordBatchOutput struct {
	Encrypted        bool
	FailedPutCount   int
	RequestResponses []response
}

// A response is what became of the record at its place in the request.
type response struct {
	RecordID     string `json:"RecordId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (s *Server) putRecord(ctx context.Context, c *call) (any, *apiError) {
	in, err := decode[putRecordInput](c)
	if err != nil {
		return nil, err
	}
	var v violations
	v.name(in.DeliveryStreamName, "deliveryStreamName", true)
	v.record(in.Record, "record")
	if err := v.err(); err != nil {
		return nil, err
	}
	b, err := s.put(ctx, c, *in.DeliveryStreamName, [][]byte{*in.Record.Data})
	if err != nil {
		return nil, err
	}
	if o := b.outcomes[0]; o.fate != stored {
		return nil, failure(o.fate)
	}
	return putRecordOutput{Encrypted: b.encrypted, RecordID: b.outcomes[0].id}, nil
}

// putRecordBatch answers 200 with the fate of each record, as Firehose does,
// when any record is stored or all were throttled. When nothing is known to be
// stored and slowing down would not help, the whole request fails: an SDK then
// tries again by itself, and a producer that never looks at FailedPutCount
// still hears of it.
func (s *Server) putRecordBatch(ctx context.Context, c *call) (any, *apiError) {
	in, err := decode[putRecordBatchInput](c)
	if err != nil {
		return nil, err
	}
	var v violations
	v.name(in.DeliveryStreamName, "deliveryStreamName", true)
	v.records(in.Records)
	if err := v.err(); err != nil {
		return nil, err
	}
	records, size := make([][]byte, len(in.Records)), 0
	for i, r := range in.Records {
		records[i], size = *r.Data, size+len(*r.Data)
	}
	if size > batchMax {
		return nil, clientError("InvalidArgumentException", "Records size exceeds 4 MB limit")
	}
	b, err := s.put(ctx, c, *in.DeliveryStreamName, records)
	if err != nil {
		return nil, err
	}
	out := putRecordBatchOutput{Encrypted: b.encrypted, RequestResponses: make([]response, len(records))}
	least := unknown
	for i, o := range b.outcomes {
		least = min(least, o.fate)
		if o.fate == stored {
			out.RequestResponses[i].RecordID = o.id
			continue
		}
		e := failure(o.fate)
		out.RequestResponses[i] = response{ErrorCode: e.code, ErrorMessage: e.message}
		out.FailedPutCount++
	}
	if least > throttled {
		return nil, failure(least)
	}
	return out, nil
}

// put stores the records in the stream behind the name.
func (s *Server) put(ctx context.Context, c *call, name string, records [][]byte) (*batch, *apiError) {
	d, err := s.find(name)
	if err != nil {
		return nil, err
	}
	b := newBatch(records)
	s.putter.put(ctx, d, b)
	c.deliveryStream, c.batch = d.Name, b
	return b, nil
}
