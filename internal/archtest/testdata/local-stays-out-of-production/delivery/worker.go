package delivery

import (
	_ "github.com/standpipe/standpipe/local/kinesis"
)
