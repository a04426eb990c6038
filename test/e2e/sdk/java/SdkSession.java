import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;
import software.amazon.awssdk.services.kinesis.model.Record;

/**
 * One session of the AWS SDK for Java v2 against a Kinesis endpoint: create, put, fan-out across a split, merge,
 * polling to the end of every shard, the service's errors. The SDK speaks CBOR, and HTTP/2 for fan-out. The settings
 * come from the usual AWS_ variables. Exits with 0 when everything was as it should be.
 */
public final class SdkSession {
  private static final String SHARD0 = "shardId-000000000000";

  private final KinesisClient kinesis = KinesisClient.create();
  private final KinesisAsyncClient fan = KinesisAsyncClient.create();
  private final String stream;

  private SdkSession(String stream) {
    this.stream = stream;
  }

  public static void main(String[] args) {
    try {
      new SdkSession(args[0]).run();
      System.out.println("session ok");
      System.exit(0);
    } catch (Throwable e) { // threads of the libraries would keep the process alive
      e.printStackTrace();
      System.exit(1);
    }
  }

  private void run() throws Exception {
    kinesis.createStream(r -> r.streamName(stream).shardCount(2));
    refused(ResourceInUseException.class, () -> kinesis.createStream(r -> r.streamName(stream).shardCount(2)));
    StreamDescriptionSummary summary = settled();
    check(summary.openShardCount() == 2, "two shards are open");
    check(near(summary.streamCreationTimestamp()), "created " + summary.streamCreationTimestamp());

    byte[] every = new byte[256];
    for (int i = 0; i < every.length; i++) {
      every[i] = (byte) i;
    }
    PutRecordResponse one = kinesis.putRecord(
        r -> r.streamName(stream).partitionKey("é😀").explicitHashKey("0").data(SdkBytes.fromByteArray(every)));
    check(one.shardId().equals(SHARD0), "hash key 0 is in the first shard");
    List<PutRecordsRequestEntry> entries = IntStream.range(0, 200)
        .mapToObj(i -> PutRecordsRequestEntry.builder().partitionKey("key-" + i).data(SdkBytes.fromUtf8String("record " + i)).build())
        .collect(Collectors.toList());
    check(kinesis.putRecords(r -> r.streamName(stream).records(entries)).failedRecordCount() == 0, "no record failed");
    TreeSet<String> wanted = IntStream.range(0, 200).mapToObj(i -> "record " + i).collect(Collectors.toCollection(TreeSet::new));
    wanted.add(latin(every));

    String consumer = kinesis.registerStreamConsumer(r -> r.streamARN(summary.streamARN()).consumerName("fan")).consumer().consumerARN();
    while (kinesis.describeStreamConsumer(r -> r.consumerARN(consumer)).consumerDescription().consumerStatus() != ConsumerStatus.ACTIVE) {
      Thread.sleep(20);
    }
    List<Record> fanned = subscribe(consumer);
    settled();
    kinesis.mergeShards(r -> r.streamName(stream).shardToMerge("shardId-000000000002").adjacentShardToMerge("shardId-000000000003"));
    settled();

    List<Shard> shards = shards();
    check(shards.size() == 5, shards.size() + " shards are listed");
    check("shardId-000000000003".equals(shards.get(4).adjacentParentShardId()), "the merged shard has two parents");
    List<String> got = new ArrayList<>();
    for (Shard shard : shards) {
      List<Record> seen = poll(shard);
      seen.forEach(r -> got.add(latin(r.data().asByteArray())));
      if (shard.shardId().equals(SHARD0)) {
        check(numbers(fanned).equals(numbers(seen)), "fan-out and polling see the same");
        check(seen.get(0).partitionKey().equals("é😀"), "the key is " + seen.get(0).partitionKey());
        check(near(seen.get(0).approximateArrivalTimestamp()), "arrived " + seen.get(0).approximateArrivalTimestamp());
      }
    }
    check(got.size() == wanted.size() && new TreeSet<>(got).equals(wanted), got.size() + " records were read");

    kinesis.updateShardCount(r -> r.streamName(stream).targetShardCount(3).scalingType(ScalingType.UNIFORM_SCALING));
    check(settled().openShardCount() == 3, "three shards are open");
    Instant past = Instant.now().minus(Duration.ofHours(1));
    kinesis.getShardIterator(r -> r.streamName(stream).shardId(SHARD0).shardIteratorType(ShardIteratorType.AT_TIMESTAMP).timestamp(past));
    refused(InvalidArgumentException.class, () -> kinesis.getShardIterator(r -> r.streamName(stream).shardId(SHARD0)
        .shardIteratorType(ShardIteratorType.AT_TIMESTAMP).timestamp(Instant.now().plus(Duration.ofHours(1)))));
    refused(InvalidArgumentException.class, () -> kinesis.getRecords(r -> r.shardIterator("nonsense")));
    refused(ResourceNotFoundException.class, () -> kinesis.describeStream(r -> r.streamName("nowhere")));
    refused(ResourceInUseException.class, () -> kinesis.deleteStream(r -> r.streamName(stream)));
    kinesis.deregisterStreamConsumer(r -> r.consumerARN(consumer));
    kinesis.deleteStream(r -> r.streamName(stream).enforceConsumerDeletion(true));
  }

  private StreamDescriptionSummary settled() throws InterruptedException {
    for (;;) {
      StreamDescriptionSummary s = kinesis.describeStreamSummary(r -> r.streamName(stream)).streamDescriptionSummary();
      if (s.streamStatus() == StreamStatus.ACTIVE) {
        return s;
      }
      Thread.sleep(20);
    }
  }

  private List<Shard> shards() {
    ListShardsResponse page = kinesis.listShards(r -> r.streamName(stream).maxResults(2));
    List<Shard> found = new ArrayList<>(page.shards());
    while (page.nextToken() != null) {
      String token = page.nextToken();
      page = kinesis.listShards(r -> r.nextToken(token));
      found.addAll(page.shards());
    }
    return found;
  }

  /** Reads the first shard by fan-out to its end, and splits it after the first event. */
  private List<Record> subscribe(String consumer) throws Exception {
    List<Record> seen = new ArrayList<>();
    List<ChildShard> children = new ArrayList<>();
    AtomicReference<StartingPosition> position =
        new AtomicReference<>(StartingPosition.builder().type(ShardIteratorType.TRIM_HORIZON).build());
    boolean[] split = {false};
    while (children.isEmpty()) {
      SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
          .subscriber(SubscribeToShardResponseHandler.Visitor.builder().onSubscribeToShardEvent(e -> {
            seen.addAll(e.records());
            if (!split[0]) {
              split[0] = true;
              kinesis.splitShard(r -> r.streamName(stream).shardToSplit(SHARD0).newStartingHashKey("1000"));
            }
            if (e.hasChildShards() && !e.childShards().isEmpty()) {
              check(e.continuationSequenceNumber() == null, "the end has no continuation");
              children.addAll(e.childShards());
              return;
            }
            position.set(StartingPosition.builder().type(ShardIteratorType.AFTER_SEQUENCE_NUMBER)
                .sequenceNumber(e.continuationSequenceNumber()).build());
          }).build())
          .build();
      fan.subscribeToShard(r -> r.consumerARN(consumer).shardId(SHARD0).startingPosition(position.get()), handler).get(60, TimeUnit.SECONDS);
    }
    check(children.size() == 2 && children.get(0).parentShards().equals(List.of(SHARD0)), "the children are " + children);
    return seen;
  }

  /** Reads a shard with GetRecords until its end, or the tip of an open one. */
  private List<Record> poll(Shard shard) {
    List<Record> seen = new ArrayList<>();
    String iterator = kinesis.getShardIterator(
        r -> r.streamName(stream).shardId(shard.shardId()).shardIteratorType(ShardIteratorType.TRIM_HORIZON)).shardIterator();
    for (;;) {
      String at = iterator;
      GetRecordsResponse page = kinesis.getRecords(r -> r.shardIterator(at).limit(50));
      seen.addAll(page.records());
      iterator = page.nextShardIterator();
      boolean ended = shard.sequenceNumberRange().endingSequenceNumber() != null;
      if (iterator == null) {
        check(ended && !page.childShards().isEmpty(), shard.shardId() + " ends with its children");
        return seen;
      }
      if (page.millisBehindLatest() == 0 && page.records().isEmpty()) {
        check(!ended, shard.shardId() + " has ended and goes on");
        return seen;
      }
    }
  }

  private static List<String> numbers(List<Record> records) {
    return records.stream().map(Record::sequenceNumber).collect(Collectors.toList());
  }

  private static String latin(byte[] data) {
    return new String(data, StandardCharsets.ISO_8859_1);
  }

  private static boolean near(Instant t) {
    return Duration.between(t, Instant.now()).abs().compareTo(Duration.ofMinutes(1)) < 0;
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError("not so: " + what);
    }
  }

  private static void refused(Class<? extends KinesisException> how, Runnable call) {
    try {
      call.run();
    } catch (KinesisException e) {
      check(how.isInstance(e), how.getSimpleName() + " was expected, this came: " + e);
      return;
    }
    throw new AssertionError(how.getSimpleName() + " was expected, nothing came");
  }
}
