package compare

import _ "github.com/standpipe/standpipe/delivery"
