package delivery

import (
	_ "flag"

	_ "github.com/aws/aws-sdk-go-v2/service/s3"
	_ "github.com/standpipe/standpipe/config"
)
