package config

import (
	_ "github.com/standpipe/standpipe/internal/joiner"
)
