// Package manifest reads the stream to prove itself.
package manifest

import _ "github.com/standpipe/standpipe/consumer"
