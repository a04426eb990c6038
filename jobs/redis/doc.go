// Package redis dispatches slices over Redis, so that several machines share a
// job. It is taskq's redisq behind a client that mends what would lose or
// repeat messages.
//
// It promises only speed: a message that is lost here is sent again by the
// reconciler of package jobs, a double one ends at the claim. Redis may be
// emptied at any moment. Needs Redis 6.2 or later, or Valkey.
//
// What redisq v3.2.9 does by itself, and what the client does instead:
//
//   - The age of a reservation is counted from when the message was sent. A
//     message that waited longer than a reservation is given to a second worker
//     while the first has it. Here the age is counted from the last delivery or
//     heartbeat (XPENDING … IDLE), and a heartbeat exists (Queue.Keep).
//   - Closing deletes the consumer with everything that is pending for it. Here
//     a consumer that has something pending stays, and others take it over.
//   - Commands of a handler whose context has ended are not sent. Here a
//     message is acknowledged whatever became of its context.
//   - A message without a body stops the process. Here it is dropped.
//   - On newer servers the list of consumers cannot be parsed. Here it is
//     parsed field by field.
package redis
