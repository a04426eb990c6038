"""One session of boto3 against a Kinesis endpoint, the one the AWS CLI is made of: create, put, fan-out across a
split, merge, polling to the end of every shard, the service's errors. The settings come from the usual AWS_ variables.
Exits with 0 when everything was as it should be."""

import sys
import time

import boto3
from botocore.config import Config

NAME = sys.argv[1]
SHARD0 = "shardId-000000000000"
kinesis = boto3.client("kinesis", config=Config(retries={"total_max_attempts": 1}))


def settled():
    while True:
        s = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
        if s["StreamStatus"] == "ACTIVE":
            return s
        time.sleep(0.02)


def refused(error, call, **arguments):
    try:
        call(**arguments)
    except error:
        return
    raise AssertionError(f"{call.__name__} {arguments} was not refused with {error.__name__}")


def subscribe(consumer, shard, on_first):
    """Reads a shard by fan-out until it ends; on_first runs after the first event."""
    seen, position = [], {"Type": "TRIM_HORIZON"}
    while True:
        answer = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition=position)
        for message in answer["EventStream"]:
            event = message["SubscribeToShardEvent"]
            seen += event["Records"]
            if on_first:
                on_first()
                on_first = None
            if event.get("ChildShards"):
                assert "ContinuationSequenceNumber" not in event
                return seen, event["ChildShards"]
            position = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": event["ContinuationSequenceNumber"]}


def poll(shard):
    """Reads a shard with GetRecords until its end, or the tip of an open one."""
    iterator = kinesis.get_shard_iterator(StreamName=NAME, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    seen = []
    while True:
        page = kinesis.get_records(ShardIterator=iterator, Limit=50)
        seen += page["Records"]
        if "NextShardIterator" not in page:
            return seen, page["ChildShards"]
        if page["MillisBehindLatest"] == 0 and not page["Records"]:
            return seen, []
        iterator = page["NextShardIterator"]


kinesis.create_stream(StreamName=NAME, ShardCount=2, Tags={"made": "by python"})
refused(kinesis.exceptions.ResourceInUseException, kinesis.create_stream, StreamName=NAME, ShardCount=2)
kinesis.get_waiter("stream_exists").wait(StreamName=NAME, WaiterConfig={"Delay": 1})
summary = settled()
assert summary["OpenShardCount"] == 2
assert abs(summary["StreamCreationTimestamp"].timestamp() - time.time()) < 60

every = bytes(range(256))
one = kinesis.put_record(StreamName=NAME, PartitionKey="é😀", Data=every, ExplicitHashKey="0")
assert one["ShardId"] == SHARD0
many = kinesis.put_records(
    StreamName=NAME,
    Records=[{"PartitionKey": f"key-{i}", "Data": f"record {i}".encode()} for i in range(200)],
)
assert many["FailedRecordCount"] == 0
wanted = sorted([every] + [f"record {i}".encode() for i in range(200)])

consumer = kinesis.register_stream_consumer(StreamARN=summary["StreamARN"], ConsumerName="fan")["Consumer"]["ConsumerARN"]
while kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
    time.sleep(0.02)
fan, children = subscribe(
    consumer, SHARD0, lambda: kinesis.split_shard(StreamName=NAME, ShardToSplit=SHARD0, NewStartingHashKey="1000")
)
assert [c["ParentShards"] for c in children] == [[SHARD0], [SHARD0]]
settled()
kinesis.merge_shards(StreamName=NAME, ShardToMerge="shardId-000000000002", AdjacentShardToMerge="shardId-000000000003")
settled()

shards, page = [], {"StreamName": NAME, "MaxResults": 2}
while page:  # the service wants no name beside a token, which boto3's own paginator sends
    out = kinesis.list_shards(**page)
    shards += out["Shards"]
    page = out.get("NextToken") and {"NextToken": out["NextToken"]}
assert len(shards) == 5
assert shards[4]["AdjacentParentShardId"] == "shardId-000000000003"
assert len(kinesis.list_shards(StreamName=NAME, ShardFilter={"Type": "AT_LATEST"})["Shards"]) == 2
got = []
for shard in shards:
    seen, children = poll(shard["ShardId"])
    assert bool(children) == ("EndingSequenceNumber" in shard["SequenceNumberRange"]), shard
    got += [r["Data"] for r in seen]
    if shard["ShardId"] == SHARD0:
        assert [r["SequenceNumber"] for r in fan] == [r["SequenceNumber"] for r in seen]
        assert seen[0]["PartitionKey"] == "é😀" and seen[0]["Data"] == every
        assert abs(seen[0]["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 60
assert sorted(got) == wanted

kinesis.update_shard_count(StreamName=NAME, TargetShardCount=3, ScalingType="UNIFORM_SCALING")
assert settled()["OpenShardCount"] == 3
assert kinesis.list_tags_for_stream(StreamName=NAME)["Tags"] == [{"Key": "made", "Value": "by python"}]
refused(kinesis.exceptions.InvalidArgumentException, kinesis.get_records, ShardIterator="nonsense")
refused(kinesis.exceptions.ResourceNotFoundException, kinesis.describe_stream, StreamName="nowhere")
refused(kinesis.exceptions.ResourceInUseException, kinesis.delete_stream, StreamName=NAME)
kinesis.deregister_stream_consumer(ConsumerARN=consumer)
kinesis.delete_stream(StreamName=NAME, EnforceConsumerDeletion=True)
print("session ok")
