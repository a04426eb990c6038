// Package e2e holds the promises of the real binary, checked from outside
// with real input: kinesalite and versitygw, which other people wrote, and the
// servers of `standpipe local`. The multiset of lines in the bucket must equal
// the multiset in the stream, whatever happens in between.
//
// STANDPIPE_E2E_SEED repeats the moments of a failed kill loop and the schedule
// of chaos; STANDPIPE_CHAOS_MINUTES and STANDPIPE_CHAOS_MBPS are its length and
// load; STANDPIPE_E2E_CACHE moves the cache of packages and built servers;
// STANDPIPE_E2E_PROGRAM names a standpipe that is built already;
// STANDPIPE_E2E_LOGS names a folder that keeps what every process prints.
package e2e
