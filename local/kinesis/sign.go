package kinesis

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// An authorization is the header of Signature Version 4, taken apart.
type authorization struct {
	credential, signature, headers string
}

// amzDate is the form of X-Amz-Date.
const amzDate = "20060102T150405Z"

// authenticate checks the signature of a request, if Config.Keys asks for it.
// The clock of the signer is not looked at: the server's may be moved.
func (s *Server) authenticate(r *http.Request, body []byte) error {
	if len(s.cfg.Keys) == 0 {
		return nil
	}
	given, query := r.Header.Get("Authorization"), r.URL.Query().Has("X-Amz-Algorithm")
	switch {
	case given != "" && query:
		return clientError("InvalidSignatureException", "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
	case given == "" && !query:
		return clientError("MissingAuthenticationTokenException", "Missing Authentication Token")
	case query:
		return clientError("IncompleteSignatureException", "A signature in the query string is not accepted here: sign with the Authorization header.")
	}
	a := parseAuthorization(given)
	at, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	if err := a.complete(given, err == nil); err != nil {
		return err
	}
	scope := strings.Split(a.credential, "/")
	secret, known := s.cfg.Keys[scope[0]]
	if len(scope) != 5 || !known {
		return clientError("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	want, err := sign(r, body, a.headers, aws.Credentials{AccessKeyID: scope[0], SecretAccessKey: secret}, scope[3], scope[2], at)
	if err != nil || !hmac.Equal([]byte(want), []byte(a.signature)) {
		return clientError("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

func parseAuthorization(header string) (a authorization) {
	_, rest, _ := strings.Cut(header, " ")
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			a.credential = value
		case "Signature":
			a.signature = value
		case "SignedHeaders":
			a.headers = value
		}
	}
	return a
}

// complete tells everything that is missing, in the service's words.
func (a authorization) complete(header string, dated bool) error {
	missing := ""
	for _, p := range []struct{ name, value string }{{"Credential", a.credential}, {"Signature", a.signature}, {"SignedHeaders", a.headers}} {
		if p.value == "" {
			missing += "Authorization header requires '" + p.name + "' parameter. "
		}
	}
	if !dated {
		missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
	}
	if missing == "" {
		return nil
	}
	return clientError("IncompleteSignatureException", "%sAuthorization=%s", missing, header[:min(len(header), shownMax)])
}

// sign is the signature the request should have: the SDK's own signer over a
// copy with the headers that were signed.
func sign(r *http.Request, body []byte, headers string, key aws.Credentials, service, region string, at time.Time) (string, error) {
	again, err := http.NewRequestWithContext(context.Background(), r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		return "", err
	}
	signed := strings.Split(headers, ";")
	for name, values := range r.Header {
		if slices.Contains(signed, strings.ToLower(name)) {
			again.Header[name] = values
		}
	}
	if slices.Contains(signed, "content-length") {
		again.ContentLength = r.ContentLength
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), key, again, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		return "", err
	}
	return parseAuthorization(again.Header.Get("Authorization")).signature, nil
}
