// Package deploy holds what runs standpipe outside a laptop: the ECS task
// definition, the IAM policies, the systemd unit, the bucket's lifecycle rule
// and a sample configuration. README.md says how to use them.
//
// It promises that the files fit the APIs they are for and one another. Its
// tests decode each one strictly into the AWS SDK's own types, hold every IAM
// action against AWS's list, and compare what has to agree: the paths, the user,
// the time limits, the memory. None of them needs a network.
package deploy
