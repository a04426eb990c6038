package standpipe

import (
	_ "time"
)
