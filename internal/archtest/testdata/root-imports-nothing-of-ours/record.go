package standpipe

import (
	_ "github.com/standpipe/standpipe/sink"
)
