package s3

import (
	_ "github.com/aws/aws-sdk-go-v2/service/kinesis"
)
