import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.RetrievalConfig;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * An application of the Kinesis Client Library reads a stream through a split and a merge: KclSession STREAM
 * polling|fanout. Every record has to come, in the order of its shard, and every closed shard has to reach SHARD_END
 * before its children begin. Leases are in the DynamoDB of the environment. Exits with 0 when all of it was so.
 */
public final class KclSession {
  private static final long LIMIT_SECONDS = 120;

  private final KinesisClient kinesis = KinesisClient.create();
  private final String stream;
  private final Set<String> sent = new TreeSet<>();
  private final Map<String, String> seen = new ConcurrentHashMap<>(); // record → shard
  private final Set<String> ended = ConcurrentHashMap.newKeySet();
  private final Set<String> wrong = ConcurrentHashMap.newKeySet();

  private KclSession(String stream) {
    this.stream = stream;
  }

  public static void main(String[] args) {
    try {
      new KclSession(args[0]).run(args[1].equals("fanout"));
      System.out.println("session ok");
      System.exit(0);
    } catch (Throwable e) { // threads of the libraries would keep the process alive
      e.printStackTrace();
      System.exit(1);
    }
  }

  private void run(boolean fanout) throws Exception {
    kinesis.createStream(r -> r.streamName(stream).shardCount(1));
    settled();
    put("first");
    Scheduler scheduler = scheduler(fanout);
    Thread worker = new Thread(scheduler, "scheduler");
    worker.start();
    await("the first records", () -> seen.keySet().containsAll(sent));
    kinesis.splitShard(r -> r.streamName(stream).shardToSplit(shard(0)).newStartingHashKey(half()));
    settled();
    put("split");
    await("the records of both halves", () -> seen.keySet().containsAll(sent));
    await("the end of the split shard", () -> ended.contains(shard(0)));
    kinesis.mergeShards(r -> r.streamName(stream).shardToMerge(shard(1)).adjacentShardToMerge(shard(2)));
    settled();
    put("merged");
    await("the records of the merged shard", () -> seen.keySet().containsAll(sent));
    await("the end of both halves", () -> ended.containsAll(Set.of(shard(1), shard(2))));
    check(wrong.isEmpty(), "nothing went wrong, but " + wrong);
    check(seen.keySet().equals(sent), "nothing came that was not sent");
    check(Set.copyOf(seen.values()).size() == 4, "records came from four shards: " + Set.copyOf(seen.values()));
    int consumers = kinesis.describeStreamSummary(r -> r.streamName(stream)).streamDescriptionSummary().consumerCount();
    check(consumers == (fanout ? 1 : 0), consumers + " consumers are registered");
    // A graceful shutdown of this version waits for ever for shards that have ended.
    scheduler.shutdown();
    worker.join(TimeUnit.SECONDS.toMillis(LIMIT_SECONDS));
    check(!worker.isAlive(), "the scheduler has shut down");
  }

  private Scheduler scheduler(boolean fanout) {
    KinesisAsyncClient client = KinesisAsyncClient.create();
    SingleStreamTracker tracker = new SingleStreamTracker(stream,
        InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
    ConfigsBuilder configs = new ConfigsBuilder(tracker, "kcl-" + stream, client, DynamoDbAsyncClient.create(),
        CloudWatchAsyncClient.create(), "worker-1", Processor::new);
    RetrievalConfig retrieval = configs.retrievalConfig();
    if (fanout) {
      retrieval.retrievalSpecificConfig(new FanOutConfig(client).streamName(stream).applicationName("kcl-" + stream));
    } else {
      retrieval.retrievalSpecificConfig(new PollingConfig(stream, client).idleTimeBetweenReadsInMillis(200));
    }
    // The library waits for seconds where production has minutes; a test does not. But for its leases: one that is not
    // renewed in time, on a machine that is busy with others, is lost, and a lost lease is what this session calls wrong.
    // Shards are taken every two such times.
    return new Scheduler(
        configs.checkpointConfig(),
        configs.coordinatorConfig().parentShardPollIntervalMillis(200).shardConsumerDispatchPollIntervalMillis(100)
            .schedulerInitializationBackoffTimeMillis(200),
        configs.leaseManagementConfig().failoverTimeMillis(10_000).shardSyncIntervalMillis(1000),
        configs.lifecycleConfig().taskBackoffTimeMillis(200),
        configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
        configs.processorConfig(),
        retrieval);
  }

  private void put(String what) {
    for (int i = 0; i < 50; i++) {
      String record = String.format("%s %03d", what, i);
      sent.add(record);
      kinesis.putRecord(r -> r.streamName(stream).partitionKey(record).data(SdkBytes.fromUtf8String(record)));
    }
  }

  private void settled() throws Exception {
    await("the stream to be ACTIVE", () -> kinesis.describeStreamSummary(r -> r.streamName(stream))
        .streamDescriptionSummary().streamStatus() == StreamStatus.ACTIVE);
  }

  private void await(String what, BooleanSupplier holds) throws InterruptedException {
    long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
    while (!holds.getAsBoolean()) {
      check(System.nanoTime() < until,
          what + " within " + LIMIT_SECONDS + " s; " + seen.size() + " of " + sent.size() + " records came, ended: " + ended);
      Thread.sleep(20);
    }
  }

  private static String shard(int index) {
    return String.format("shardId-%012d", index);
  }

  private static String half() {
    return java.math.BigInteger.ONE.shiftLeft(127).toString();
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError("not so: " + what);
    }
  }

  private final class Processor implements ShardRecordProcessor {
    private String shard;
    private String last = "";

    @Override
    public void initialize(InitializationInput input) {
      shard = input.shardId();
      if (!shard.equals(shard(0)) && !ended.contains(shard(0))
          || shard.equals(shard(3)) && !ended.containsAll(Set.of(shard(1), shard(2)))) {
        wrong.add(shard + " began before its parents had ended: " + ended);
      }
    }

    @Override
    public void processRecords(ProcessRecordsInput input) {
      input.records().forEach(r -> {
        String number = r.sequenceNumber();
        if (number.compareTo(last) <= 0) { // all have 56 digits
          wrong.add(number + " came after " + last);
        }
        last = number;
        String before = seen.put(StandardCharsets.UTF_8.decode(r.data()).toString(), shard);
        if (before != null) {
          wrong.add("a record came twice, from " + before + " and " + shard);
        }
      });
      guard(() -> input.checkpointer().checkpoint());
    }

    @Override
    public void leaseLost(LeaseLostInput input) {
      wrong.add("the lease of " + shard + " was lost");
    }

    @Override
    public void shardEnded(ShardEndedInput input) {
      guard(() -> input.checkpointer().checkpoint());
      ended.add(shard);
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput input) {
      guard(() -> input.checkpointer().checkpoint());
    }

    private void guard(Checkpoint checkpoint) {
      try {
        checkpoint.write();
      } catch (Exception e) {
        wrong.add("checkpoint of " + shard + ": " + e);
      }
    }
  }

  private interface Checkpoint {
    void write() throws Exception;
  }
}
