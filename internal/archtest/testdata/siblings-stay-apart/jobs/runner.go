package jobs

import (
	_ "github.com/standpipe/standpipe/sink"
)
