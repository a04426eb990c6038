// Package replay reads the settings by itself.
package replay

import _ "github.com/standpipe/standpipe/config"
