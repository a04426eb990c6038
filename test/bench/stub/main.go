package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

// Addresses is what the stub prints. The certificate is made at each start;
// clients trust it by AWS_CA_BUNDLE.
type Addresses struct {
	Kinesis, S3, Control string
	Certificate          string // PEM
}

func main() {
	if err := serve(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		os.Exit(1)
	}
}

func serve(out io.Writer) error {
	cert, text, err := certificate()
	if err != nil {
		return err
	}
	s := &stub{}
	// Real Kinesis endpoints offer HTTP/2, S3 does not.
	kinesis, err := listen()
	if err != nil {
		return err
	}
	s3, err := listen()
	if err != nil {
		return err
	}
	control, err := listen()
	if err != nil {
		return err
	}
	failed := make(chan error)
	start := func(l net.Listener, h http.HandlerFunc, protocols ...string) {
		server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		if len(protocols) == 0 {
			failed <- server.Serve(l)
			return
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}
		if len(protocols) == 1 {
			server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		}
		failed <- server.ServeTLS(l, "", "")
	}
	go start(kinesis, s.kinesis, "h2", "http/1.1")
	go start(s3, s.s3, "http/1.1")
	go start(control, s.control)
	err = json.NewEncoder(out).Encode(Addresses{
		Kinesis: "https://" + kinesis.Addr().String(), S3: "https://" + s3.Addr().String(),
		Control: "http://" + control.Addr().String(), Certificate: string(text),
	})
	return errors.Join(err, <-failed)
}

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func certificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "standpipe benchmark"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, text, nil
}
