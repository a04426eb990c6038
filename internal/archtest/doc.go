// Package archtest keeps the shape of the project: who may import whom, which
// calls are banned, what may not stand in a file. The rules are in rules.go,
// each with its reason, which a failure repeats. It promises that a rule that
// stops noticing its breach fails too: testdata holds one small tree per rule
// that must be refused, and one that must pass.
package archtest
