package harness

import (
	_ "github.com/standpipe/standpipe/local"
)
