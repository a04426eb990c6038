// One session of the AWS SDK for JavaScript v3 against a Kinesis endpoint: create, put, fan-out across a split,
// merge, polling to the end of every shard, the service's errors. The settings come from the usual AWS_ variables;
// the SDK speaks HTTP/2. Exits with 0 when everything was as it should be.
import assert from 'node:assert/strict';
import * as k from '@aws-sdk/client-kinesis';

const client = new k.KinesisClient({ maxAttempts: 1 });
const call = (command, input) => client.send(new k[command + 'Command'](input));
const stream = { StreamName: process.argv[2] };
const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function settled() {
  for (;;) {
    const { StreamDescriptionSummary: s } = await call('DescribeStreamSummary', stream);
    if (s.StreamStatus === 'ACTIVE') return s;
    await sleep(20);
  }
}

async function shards(filter) {
  const found = [];
  let page = { ...stream, MaxResults: 2, ...(filter && { ShardFilter: filter }) };
  do {
    const out = await call('ListShards', page);
    found.push(...out.Shards);
    page = out.NextToken && { NextToken: out.NextToken };
  } while (page);
  return found;
}

// subscribe reads a shard by fan-out until it ends; onFirst runs after the first event.
async function subscribe(consumer, shard, onFirst) {
  const seen = [];
  let position = { Type: 'TRIM_HORIZON' };
  let first = onFirst;
  for (;;) {
    const { EventStream } = await call('SubscribeToShard', { ConsumerARN: consumer, ShardId: shard, StartingPosition: position });
    for await (const { SubscribeToShardEvent: e } of EventStream) {
      assert.ok(e, 'an event is a SubscribeToShardEvent');
      seen.push(...e.Records);
      if (first) await first();
      first = undefined;
      if (e.ChildShards?.length) {
        assert.equal(e.ContinuationSequenceNumber, undefined);
        return { seen, children: e.ChildShards };
      }
      position = { Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: e.ContinuationSequenceNumber };
    }
  }
}

// poll reads a shard with GetRecords until its end, or the tip of an open one.
async function poll(shard) {
  let { ShardIterator: iterator } = await call('GetShardIterator', { ...stream, ShardId: shard, ShardIteratorType: 'TRIM_HORIZON' });
  const seen = [];
  for (;;) {
    const out = await call('GetRecords', { ShardIterator: iterator, Limit: 50 });
    seen.push(...out.Records);
    if (!out.NextShardIterator) return { seen, children: out.ChildShards };
    if (out.MillisBehindLatest === 0 && out.Records.length === 0) return { seen };
    iterator = out.NextShardIterator;
  }
}

await call('CreateStream', { ...stream, ShardCount: 2, Tags: { made: 'by node' } });
await assert.rejects(call('CreateStream', { ...stream, ShardCount: 2 }), k.ResourceInUseException);
const summary = await settled();
assert.equal(summary.OpenShardCount, 2);
assert.ok(Math.abs(summary.StreamCreationTimestamp - Date.now()) < 60_000);

const one = await call('PutRecord', { ...stream, PartitionKey: 'é😀', Data: every, ExplicitHashKey: '0' });
assert.equal(one.ShardId, 'shardId-000000000000');
const many = await call('PutRecords', {
  ...stream,
  Records: Array.from({ length: 200 }, (_, i) => ({ PartitionKey: `key-${i}`, Data: Buffer.from(`record ${i}`) })),
});
assert.equal(many.FailedRecordCount, 0);
const wanted = new Set(['every', ...Array.from({ length: 200 }, (_, i) => `record ${i}`)]);

const { Consumer } = await call('RegisterStreamConsumer', { StreamARN: summary.StreamARN, ConsumerName: 'fan' });
while ((await call('DescribeStreamConsumer', { ConsumerARN: Consumer.ConsumerARN })).ConsumerDescription.ConsumerStatus !== 'ACTIVE') await sleep(20);
const fan = await subscribe(Consumer.ConsumerARN, 'shardId-000000000000', async () => {
  await call('SplitShard', { ...stream, ShardToSplit: 'shardId-000000000000', NewStartingHashKey: '1000' });
});
assert.equal(fan.children.length, 2);
assert.deepEqual(fan.children[0].ParentShards, ['shardId-000000000000']);
await settled();
await call('MergeShards', { ...stream, ShardToMerge: 'shardId-000000000002', AdjacentShardToMerge: 'shardId-000000000003' });
await settled();

const all = await shards();
assert.equal(all.length, 5);
assert.equal(all[4].AdjacentParentShardId, 'shardId-000000000003');
assert.equal((await shards({ Type: 'AT_LATEST' })).length, 2);
const got = [];
for (const shard of all) {
  const { seen, children } = await poll(shard.ShardId);
  const ended = Boolean(shard.SequenceNumberRange.EndingSequenceNumber);
  assert.equal(Boolean(children?.length), ended, `${shard.ShardId} names children if it has ended`);
  got.push(...seen.map((r) => (Buffer.from(r.Data).equals(every) ? 'every' : Buffer.from(r.Data).toString())));
  if (shard.ShardId === 'shardId-000000000000') {
    assert.deepEqual(fan.seen.map((r) => r.SequenceNumber), seen.map((r) => r.SequenceNumber));
    assert.equal(seen[0].PartitionKey, 'é😀');
    assert.ok(Math.abs(seen[0].ApproximateArrivalTimestamp - Date.now()) < 60_000);
  }
}
assert.equal(got.length, wanted.size);
assert.deepEqual(new Set(got), wanted);

await call('UpdateShardCount', { ...stream, TargetShardCount: 3, ScalingType: 'UNIFORM_SCALING' });
assert.equal((await settled()).OpenShardCount, 3);
assert.deepEqual((await call('ListTagsForStream', stream)).Tags, [{ Key: 'made', Value: 'by node' }]);
await assert.rejects(call('GetRecords', { ShardIterator: 'nonsense' }), k.InvalidArgumentException);
await assert.rejects(call('DescribeStream', { StreamName: 'nowhere' }), k.ResourceNotFoundException);
await assert.rejects(call('DeleteStream', stream), k.ResourceInUseException);
await call('DeregisterStreamConsumer', { ConsumerARN: Consumer.ConsumerARN });
await call('DeleteStream', { ...stream, EnforceConsumerDeletion: true });
console.log('session ok');
client.destroy();
