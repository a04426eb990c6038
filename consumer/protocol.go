package consumer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TooLargeError says that a page did not fit the room it was given. Nothing is
// lost: the body was dropped and the same iterator will be used again.
type TooLargeError struct {
	// Need is the room, in bytes, that fits what the next page should hold.
	Need int64
	// Room is what was given.
	Room int64

	received int64 // bytes of the body, at least
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the page does not fit in %d bytes, needs up to %d", e.Room, e.Need)
}

// A pageTarget travels in the context of a GetRecords call and takes the body
// of its answer, undecoded. The call owns it.
type pageTarget struct {
	guess, room int64  // bytes
	body        []byte // of the pool; the reader's once the call returned
	over        int64  // least length of a body that did not fit
	begun       bool   // the head of the answer was there
	announced   bool   // over is its whole length
	stock       stockDecoder
}

type targetKey struct{}

// pageProtocol is the SDK's own JSON protocol but for one thing: the answer to
// a GetRecords call whose context holds a pageTarget is kept as bytes. Errors
// and every other operation fall through.
type pageProtocol struct {
	smithyhttp.ClientProtocol
	pool *bufferPool
}

// DeserializeResponse implements smithyhttp.ClientProtocol.
func (p *pageProtocol) DeserializeResponse(
	ctx context.Context, schema *smithy.OperationSchema, types *smithy.TypeRegistry,
	resp *smithyhttp.Response, out smithy.Deserializable,
) error {
	t, ok := ctx.Value(targetKey{}).(*pageTarget)
	_, isPage := out.(*kinesis.GetRecordsOutput)
	if !ok || !isPage || resp.StatusCode < 200 || resp.StatusCode >= 300 {
		return p.ClientProtocol.DeserializeResponse(ctx, schema, types, resp, out)
	}
	t.begun = true
	body, over, err := p.pool.read(resp.Body, resp.ContentLength, t.guess, t.room)
	if err != nil {
		return &smithy.DeserializationError{Err: fmt.Errorf("read page: %w", err)}
	}
	if over > 0 {
		// The SDK reads what is left of a body so that the connection can be
		// used again. A new connection is cheaper than 16 MiB.
		resp.Body.Close()
		resp.Body = http.NoBody
	}
	t.body, t.over, t.announced = body, over, resp.ContentLength >= 0
	t.stock = stockDecoder{p.ClientProtocol, schema, types}
	return nil
}

// A stockDecoder is the SDK's own decoder, for a page the fast one refused.
type stockDecoder struct {
	protocol smithyhttp.ClientProtocol
	schema   *smithy.OperationSchema
	types    *smithy.TypeRegistry
}

// decode never panics: the SDK's does on a timestamp of "NaN".
func (d stockDecoder) decode(body []byte) (out *kinesis.GetRecordsOutput, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the SDK's decoder panicked: %v", p)
		}
	}()
	out = new(kinesis.GetRecordsOutput)
	err = d.protocol.DeserializeResponse(context.Background(), d.schema, d.types, &smithyhttp.Response{
		Response: &http.Response{
			StatusCode:    http.StatusOK,
			Header:        http.Header{},
			ContentLength: int64(len(body)),
			Body:          io.NopCloser(bytes.NewReader(body)),
		},
	}, out)
	return out, err
}
