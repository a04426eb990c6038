// Package page writes a comparison's report for people: text for a terminal,
// one HTML file that needs nothing else, and one line per difference for grep.
//
// It promises that every form says the same, that payloads are shown escaped,
// and that the HTML file runs no script and asks no host for anything: its own
// policy forbids it (Content-Security-Policy, with the hash of its style).
package page
