package around

import (
	_ "github.com/standpipe/standpipe/internal/joiner"
)
