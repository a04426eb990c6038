package directput

import (
	"context"
	"slices"
	"strings"
)

// A Destination is where records go in the end, as far as the API tells it.
// BucketARN is empty for a folder.
type Destination struct {
	BucketARN, Prefix, ErrorOutputPrefix             string
	CompressionFormat, CustomTimeZone, FileExtension string
	SizeInMBs, IntervalInSeconds                     int
}

type describeInput struct {
	DeliveryStreamName *string
	Limit              *int64
}

type describeOutput struct{ DeliveryStreamDescription description }

// A description says DirectPut whatever feeds the Kinesis stream: that is what
// this door is, and producers ask before they put.
type description struct {
	DeliveryStreamName, DeliveryStreamARN    string
	DeliveryStreamStatus, DeliveryStreamType string
	VersionID                                string `json:"VersionId"`
	HasMoreDestinations                      bool
	Destinations                             []destination
}

type destination struct {
	DestinationID string                 `json:"DestinationId"`
	S3            *s3Destination         `json:"S3DestinationDescription,omitempty"`
	ExtendedS3    *extendedS3Destination `json:"ExtendedS3DestinationDescription,omitempty"`
}

type s3Destination struct {
	BucketARN               string
	Prefix                  string `json:",omitempty"`
	ErrorOutputPrefix       string `json:",omitempty"`
	CompressionFormat       string
	BufferingHints          bufferingHints
	EncryptionConfiguration encryption
}

type extendedS3Destination struct {
	s3Destination
	CustomTimeZone string `json:",omitempty"`
	FileExtension  string `json:",omitempty"`
	S3BackupMode   string
}

type bufferingHints struct{ SizeInMBs, IntervalInSeconds int }

type encryption struct{ NoEncryptionConfig string }

func (s *Server) describe(_ context.Context, c *call) (any, *apiError) {
	in, err := decode[describeInput](c)
	if err != nil {
		return nil, err
	}
	var v violations
	v.name(in.DeliveryStreamName, "deliveryStreamName", true)
	v.limit(in.Limit)
	if err := v.err(); err != nil {
		return nil, err
	}
	d, err := s.find(*in.DeliveryStreamName)
	if err != nil {
		return nil, err
	}
	c.deliveryStream = d.Name
	return describeOutput{description{
		DeliveryStreamName: d.Name, DeliveryStreamARN: d.arn(),
		DeliveryStreamStatus: "ACTIVE", DeliveryStreamType: streamTypes[0], VersionID: "1",
		Destinations: []destination{d.Destination.describe()},
	}}, nil
}

// describe tells both forms of an S3 destination, as Firehose does.
func (d Destination) describe() destination {
	out := destination{DestinationID: "destinationId-000000000001"}
	if d.BucketARN == "" {
		return out
	}
	plain := s3Destination{
		BucketARN: d.BucketARN, Prefix: d.Prefix, ErrorOutputPrefix: d.ErrorOutputPrefix,
		CompressionFormat: d.CompressionFormat, BufferingHints: bufferingHints{d.SizeInMBs, d.IntervalInSeconds},
		EncryptionConfiguration: encryption{"NoEncryption"},
	}
	out.S3 = &plain
	out.ExtendedS3 = &extendedS3Destination{
		s3Destination: plain, CustomTimeZone: d.CustomTimeZone, FileExtension: d.FileExtension, S3BackupMode: "Disabled",
	}
	return out
}

type listInput struct {
	DeliveryStreamType               *string
	ExclusiveStartDeliveryStreamName *string
	Limit                            *int64
}

type listOutput struct {
	DeliveryStreamNames    []string
	HasMoreDeliveryStreams bool
}

// listDefault is the API's page when no Limit is given.
const listDefault = 10

func (s *Server) list(_ context.Context, c *call) (any, *apiError) {
	in, err := decode[listInput](c)
	if err != nil {
		return nil, err
	}
	var v violations
	v.name(in.ExclusiveStartDeliveryStreamName, "exclusiveStartDeliveryStreamName", false)
	v.limit(in.Limit)
	if t := in.DeliveryStreamType; t != nil && !slices.Contains(streamTypes, *t) {
		v.add("'"+(*t)[:min(len(*t), shownMax)]+"'", "deliveryStreamType", "satisfy enum value set: ["+strings.Join(streamTypes, ", ")+"]")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	out := listOutput{DeliveryStreamNames: []string{}}
	if in.DeliveryStreamType != nil && *in.DeliveryStreamType != streamTypes[0] {
		return out, nil
	}
	limit := listDefault
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	for _, name := range s.names {
		if in.ExclusiveStartDeliveryStreamName != nil && name <= *in.ExclusiveStartDeliveryStreamName {
			continue
		}
		if len(out.DeliveryStreamNames) == limit {
			out.HasMoreDeliveryStreams = true
			break
		}
		out.DeliveryStreamNames = append(out.DeliveryStreamNames, name)
	}
	return out, nil
}
