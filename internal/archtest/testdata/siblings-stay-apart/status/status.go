package status

import (
	_ "github.com/standpipe/standpipe/internal/around"
)
