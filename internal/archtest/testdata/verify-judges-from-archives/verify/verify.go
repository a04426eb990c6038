// Package verify asks the code that wrote it.
package verify

import _ "github.com/standpipe/standpipe/delivery"
