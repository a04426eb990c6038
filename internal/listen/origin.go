package listen

import (
	"net"
	"net/http"
	"net/url"
)

// ForeignPage says that a web page made the request which does not come from
// this machine. A door that asks nobody for a password must refuse it: any page
// on the internet can aim its visitors' browsers at 127.0.0.1, and with a name
// of its own that resolves there (DNS rebinding) even passes for the same site.
// A browser says in Origin where the page is from, on everything but plain GETs
// (RFC 6454, the Fetch standard); programs send none.
func ForeignPage(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin) // "null", which files and sandboxes say, has no host
	if err != nil {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}
