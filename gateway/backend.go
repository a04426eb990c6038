package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// A Call is a request to Kinesis as a template rendered it.
type Call struct {
	Action string
	Region string
	Header http.Header
	Body   []byte
}

// A Reply is what Kinesis answered, whatever its status.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// A Backend makes calls. It is safe for concurrent use, repeats nothing, and
// returns an error only when there is no answer: then nobody knows whether the
// call was carried out. It keeps neither call nor its body after it returned.
type Backend interface {
	Do(ctx context.Context, c Call) (Reply, error)
}

// Kinesis is the service over HTTP: requests are signed and sent as they are,
// because what the SDK would make of a wrong body is not what API Gateway's
// caller sees.
type Kinesis struct {
	options kinesis.Options
	signer  *v4.Signer
}

// NewKinesis takes endpoint, credentials and HTTP client of an SDK client. A
// named endpoint is used for every region.
func NewKinesis(client *kinesis.Client) *Kinesis {
	return &Kinesis{options: client.Options(), signer: v4.NewSigner()}
}

// ownHeaders are for net/http to set: the first two it takes for leave to send a
// request again when its connection breaks, and with the last one it leaves the
// answer compressed. Kinesis knows none of them.
var ownHeaders = []string{"Idempotency-Key", "X-Idempotency-Key", "Accept-Encoding"}

// replyMax is far above the answer to 500 records.
const replyMax = 1 << 20

// Do implements Backend.
func (k *Kinesis) Do(ctx context.Context, c Call) (Reply, error) {
	url, err := k.URL(ctx, c.Region)
	if err != nil {
		return Reply{}, fmt.Errorf("find the endpoint of Kinesis: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(c.Body))
	if err != nil {
		return Reply{}, fmt.Errorf("call Kinesis: %w", err)
	}
	req.Header = c.Header.Clone()
	for _, name := range ownHeaders {
		req.Header.Del(name)
	}
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+c.Action)
	credentials, err := k.options.Credentials.Retrieve(ctx)
	if err != nil {
		return Reply{}, fmt.Errorf("get credentials for Kinesis: %w", err)
	}
	sum := sha256.Sum256(c.Body)
	if err := k.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "kinesis", k.region(c.Region), time.Now()); err != nil {
		return Reply{}, fmt.Errorf("sign a call to Kinesis: %w", err)
	}
	res, err := k.options.HTTPClient.Do(req)
	if err != nil {
		return Reply{}, fmt.Errorf("call Kinesis: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, replyMax+1))
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if len(body) > replyMax {
		err = errors.New("the answer is too large")
	}
	if err != nil {
		return Reply{}, fmt.Errorf("read the answer of Kinesis: %w", err)
	}
	return Reply{res.StatusCode, res.Header, body}, nil
}

// URL is where calls for a region go.
func (k *Kinesis) URL(ctx context.Context, region string) (string, error) {
	region = k.region(region)
	e, err := k.options.EndpointResolverV2.ResolveEndpoint(ctx, kinesis.EndpointParameters{Region: &region, Endpoint: k.options.BaseEndpoint})
	if err != nil {
		return "", err
	}
	e.URI.Path = "/"
	return e.URI.String(), nil
}

// region signs: an endpoint that was named knows only its own.
func (k *Kinesis) region(asked string) string {
	if k.options.BaseEndpoint != nil || asked == "" {
		return k.options.Region
	}
	return asked
}
