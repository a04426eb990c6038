package standpipe

import (
	_ "os"
)
