package archive

import _ "github.com/standpipe/standpipe/delivery"
