package canned

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A Kind names a shape of payload. Each payload is one line of JSON, newline
// included. Lengths and ratios (compress/gzip at level 6 over 4 MiB) are
// asserted by the tests of this package.
type Kind string

// The kinds.
const (
	Small Kind = "small" // access log entries, 173 B, ratio 3.8
	Click Kind = "click" // analytics events, 951 B, ratio 5.4
	Large Kind = "large" // webhook deliveries, 10 KB, ratio 7.4
)

// Kinds lists them.
var Kinds = []Kind{Small, Click, Large}

// Payloads makes payloads of the kind until they have that many bytes in all.
func Payloads(kind Kind, seed uint64, bytes int) [][]byte {
	g := newGenerator(seed)
	var all [][]byte
	for n := 0; n < bytes; {
		p := g.payload(kind)
		n += len(p)
		all = append(all, p)
	}
	return all
}

// epoch is when the first event happens; the others follow by milliseconds.
var epoch = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

type generator struct {
	r        *rand.Rand
	now      time.Time
	sessions []session
	products []string
}

// A session repeats what a browser's does: who, where from and with what.
type session struct{ id, user, ip, agent, zone, locale string }

func newGenerator(seed uint64) *generator {
	g := &generator{r: rand.New(rand.NewPCG(seed, 1)), now: epoch}
	for range 400 {
		g.products = append(g.products, fmt.Sprintf("%s-%s-%d", pick(g, adjectives), pick(g, nouns), g.r.IntN(90000)+10000))
	}
	for range 2000 {
		g.sessions = append(g.sessions, g.session())
	}
	return g
}

func pick[T any](g *generator, from []T) T { return from[g.r.IntN(len(from))] }

// often picks the first ones more often, as words of real data are.
func often[T any](g *generator, from []T) T {
	return from[min(g.r.IntN(len(from)), g.r.IntN(len(from)))]
}

func (g *generator) hex(digits int) string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], g.r.Uint64())
	binary.LittleEndian.PutUint64(b[8:], g.r.Uint64())
	return hex.EncodeToString(b[:])[:digits]
}

func (g *generator) uuid() string {
	h := g.hex(32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-" + h[16:20] + "-" + h[20:]
}

func (g *generator) session() session {
	place := often(g, places)
	return session{
		id: g.uuid(), user: "u_" + g.hex(16),
		ip:    fmt.Sprintf("%d.%d.%d.%d", g.r.IntN(223)+1, g.r.IntN(256), g.r.IntN(256), g.r.IntN(254)+1),
		agent: often(g, agents), zone: place[0], locale: place[1],
	}
}

// visit returns a session of those going on; one in fifty ends and is followed
// by a new one.
func (g *generator) visit() session {
	n := g.r.IntN(len(g.sessions))
	if g.r.IntN(50) == 0 {
		g.sessions[n] = g.session()
	}
	return g.sessions[n]
}

func (g *generator) payload(kind Kind) []byte {
	g.now = g.now.Add(time.Duration(g.r.IntN(4000)) * time.Microsecond)
	switch kind {
	case Small:
		return g.small()
	case Click:
		return g.click()
	case Large:
		return g.large()
	}
	panic("canned: unknown kind of payload " + string(kind))
}

func (g *generator) stamp() string { return g.now.Format("2006-01-02T15:04:05.000Z") }

func (g *generator) small() []byte {
	s := g.visit()
	return fmt.Appendf(nil, `{"t":"%s","ip":"%s","m":"%s","p":"/%s/%s","s":%d,"b":%d,"ms":%d,"rid":"%s","u":"%s"}`+"\n",
		g.stamp(), s.ip, often(g, methods), often(g, sections), often(g, g.products), often(g, statuses), g.r.IntN(60000), g.r.IntN(400), g.hex(16), s.user)
}

func (g *generator) click() []byte {
	s := g.visit()
	product := often(g, g.products)
	path := "/" + often(g, sections) + "/" + product
	return fmt.Appendf(nil, `{"event_id":"%s","event":"%s","timestamp":"%s","sent_at":"%s","user_id":"%s","session_id":"%s",`+
		`"context":{"ip":"%s","user_agent":"%s","locale":"%s","timezone":"%s","screen":{"width":%d,"height":%d},"version":"4.12.%d"},`+
		`"page":{"url":"https://shop.example.com%s?utm_source=%s&click_id=%s","title":"%s","referrer":"%s"},`+
		`"properties":{"product_id":"%s","price":%d.%02d,"currency":"%s","position":%d,"x":%d,"y":%d,"dwell_ms":%d,"consent":["%s","%s"]},`+
		`"experiments":{"checkout_flow":"%s","price_badge":"%s"},"trace":"%s","span":"%s"}`+"\n",
		g.uuid(), often(g, events), g.stamp(), g.now.Add(time.Duration(g.r.IntN(900))*time.Millisecond).Format("15:04:05.000"), s.user, s.id,
		s.ip, s.agent, s.locale, s.zone, pick(g, widths), pick(g, widths)/2, g.r.IntN(4),
		path, often(g, sources), g.hex(20), strings.ReplaceAll(product, "-", " "), often(g, referrers),
		product, g.r.IntN(300), g.r.IntN(100), often(g, currencies), g.r.IntN(60), g.r.IntN(1920), g.r.IntN(1080), g.r.IntN(90000), often(g, consents), often(g, consents),
		often(g, variants), often(g, variants), g.hex(32), g.hex(12))
}

// large is an event of a code host: most of it are addresses made from a few
// names, which is why such payloads compress so well.
func (g *generator) large() []byte {
	actor, repo := pick(g, nouns)+g.hex(4), pick(g, adjectives)+"-"+pick(g, nouns)
	api := "https://api.example.com/repos/" + actor + "/" + repo
	var b []byte
	b = fmt.Appendf(b, `{"action":"%s","delivery":"%s","sent":"%s","number":%d,"repository":{"id":%d,"full_name":"%s/%s","private":%t,"fork":%t,"stars":%d,"size":%d`,
		often(g, actions), g.uuid(), g.stamp(), g.r.IntN(9000), g.r.IntN(900_000_000), actor, repo, g.r.IntN(2) == 0, g.r.IntN(4) == 0, g.r.IntN(5000), g.r.IntN(900000))
	for _, link := range links {
		b = fmt.Appendf(b, `,"%s_url":"%s/%s{/%s}"`, link, api, link, strings.TrimSuffix(link, "s"))
	}
	b = append(b, `},"commits":[`...)
	for n := range 14 {
		if n > 0 {
			b = append(b, ',')
		}
		who := often(g, nouns) + g.hex(3)
		b = fmt.Appendf(b, `{"sha":"%s%s","url":"%s/commits/%s","message":"%s %s %s %s in %s","author":{"login":"%s","email":"%s@example.com","html_url":"https://example.com/%s","avatar_url":"https://avatars.example.com/u/%d?v=4","type":"User","site_admin":false},"added":%d,"removed":%d,"verified":%t,"at":"%s"}`,
			g.hex(32), g.hex(8), api, g.hex(16), often(g, actions), pick(g, adjectives), pick(g, nouns), pick(g, sections), pick(g, nouns), who, who, who, g.r.IntN(9_000_000), g.r.IntN(300), g.r.IntN(100), g.r.IntN(3) > 0, g.stamp())
	}
	b = append(b, `],"sender":{"login":"`+actor+`"`...)
	for _, link := range userLinks {
		b = fmt.Appendf(b, `,"%s_url":"https://api.example.com/users/%s/%s"`, link, actor, link)
	}
	return append(b, "}}\n"...)
}
