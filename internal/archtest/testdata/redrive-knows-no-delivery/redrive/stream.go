package redrive

import _ "github.com/standpipe/standpipe/delivery"
