# The metrics are those of docs/operations.md, which says what to do when one rises.
locals {
  alarms = {
    freshness = { metric = "standpipe_delivery_freshness_seconds", statistic = "Maximum", above = var.freshness_alarm_seconds, minutes = 5, says = "records are taken and not delivered" }
    gaps      = { metric = "standpipe_gaps_total", statistic = "Sum", above = 0, minutes = 1, says = "records left the stream unread, or may have" }
    failures  = { metric = "standpipe_shard_failures_total", statistic = "Sum", above = 2, minutes = 15, says = "a shard fails again and again" }
    held      = { metric = "standpipe_delivery_attempts_failed_total", statistic = "Sum", above = 0, minutes = 15, says = "S3 or the lease table refuses; delivery waits" }
    unowned   = { metric = "standpipe_leases_unowned", statistic = "Maximum", above = 0, minutes = 5, says = "shards are with no worker" }
  }
}

resource "aws_cloudwatch_metric_alarm" "standpipe" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.metric}: ${each.value.says}"
  namespace           = var.name
  metric_name         = each.value.metric
  dimensions          = { job = "standpipe" }
  statistic           = each.value.statistic
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60 * each.value.minutes
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topics
  ok_actions          = var.alarm_topics
}

# What needs no agent: Kinesis itself says how far behind the readers are. It speaks
# when standpipe does not run at all.
resource "aws_cloudwatch_metric_alarm" "behind" {
  alarm_name          = "${var.name}-behind"
  alarm_description   = "the oldest record read is old, or nobody reads"
  namespace           = "AWS/Kinesis"
  metric_name         = "GetRecords.IteratorAgeMilliseconds"
  dimensions          = { StreamName = var.stream }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1000 * var.freshness_alarm_seconds
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topics
  ok_actions          = var.alarm_topics
}
