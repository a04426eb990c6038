package vtl

import _ "os"
