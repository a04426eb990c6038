// Package jobplace reads where jobs are kept: the text of --jobs and of
// Standpipe.Jobs, which the command line and package config read alike.
//
// Its errors and Place.String never show a password.
package jobplace

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Default is the folder of a node that was told nothing, relative to the working
// directory.
const Default = "./.standpipe/jobs"

// A Place is a folder (one node) or a Redis with a table (a fleet).
type Place struct {
	// Folder of the job store of one node. Empty for a fleet.
	Folder string
	// Redis is the address of the Redis that dispatches, its password included,
	// without the parameters below.
	Redis string
	// Table is the DynamoDB table that is the record; empty when the address
	// names none.
	Table string
	// Create says to make the table unless it is there.
	Create bool
	// Secret: the address has a user name or a password.
	Secret bool

	shown string
}

// Fleet reports whether several machines can share the place.
func (p Place) Fleet() bool { return p.Redis != "" }

// String is the place without user name and password.
func (p Place) String() string { return p.shown }

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// Parse reads a folder, or redis://[[USER]:PASSWORD@]HOST:PORT[/DB], rediss:// for
// TLS, with the parameters table=NAME and create=true.
func Parse(text string) (Place, error) {
	switch {
	case text == "":
		return Place{}, errors.New("names no place: write a folder or redis://HOST:6379/0")
	case strings.HasPrefix(text, "redis:"), strings.HasPrefix(text, "rediss:"):
		return parseRedis(text)
	case strings.Contains(text, "://"):
		return Place{}, errors.New("is neither a folder nor redis:// nor rediss://")
	}
	return Place{Folder: text, shown: text}, nil
}

func parseRedis(text string) (p Place, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Fragment != "" {
		return p, errors.New("cannot be read: write redis://HOST:6379/0, or rediss:// for TLS; special characters in a password as %XX")
	}
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		if n, err := strconv.Atoi(db); err != nil || n < 0 {
			return p, errors.New("has no number of a database after the host: write redis://HOST:6379/0")
		}
	}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, errors.New("has parameters that cannot be read: they are table=NAME and create=true")
	}
	for name, values := range parameters {
		value := values[len(values)-1]
		switch {
		case name == "table" && tableName.MatchString(value):
			p.Table = value
		case name == "table":
			return p, errors.New("names no table that DynamoDB allows: table= takes 3 to 255 of a-z A-Z 0-9 _ . -")
		case name == "create" && slices.Contains([]string{"true", "false"}, value):
			p.Create = value == "true"
		case name == "create":
			return p, errors.New("has another value than true or false for create=")
		default:
			return p, fmt.Errorf("has the parameter %q: there are table=NAME and create=true", name)
		}
	}
	p.Secret = u.User != nil
	bare := *u
	bare.User = nil
	p.shown = bare.String()
	u.RawQuery, u.ForceQuery = "", false
	p.Redis = u.String()
	return p, nil
}
