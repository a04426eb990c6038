package consumer

import (
	_ "github.com/aws/aws-sdk-go-v2/service/kinesis"
	_ "github.com/standpipe/standpipe"
	_ "github.com/standpipe/standpipe/consumer/wire"
	_ "github.com/standpipe/standpipe/internal/backoff"
)
