// Puts lines into a delivery stream with the AWS SDK for JavaScript as it is: the
// endpoint comes from AWS_ENDPOINT_URL_FIREHOSE, nothing else is special.
//
//   node put.cjs NAME COUNT
//
// It describes the stream first, as producers do, then sends COUNT lines in
// batches of 500 and one alone, sends again what FailedPutCount names, and prints
// each line it was given a RecordId for.
const { FirehoseClient, DescribeDeliveryStreamCommand, PutRecordCommand, PutRecordBatchCommand } = require('@aws-sdk/client-firehose')

async function main(name, count) {
  const client = new FirehoseClient({})
  const { DeliveryStreamDescription: d } = await client.send(new DescribeDeliveryStreamCommand({ DeliveryStreamName: name }))
  if (d.DeliveryStreamStatus !== 'ACTIVE' || d.DeliveryStreamType !== 'DirectPut') throw new Error(JSON.stringify(d))
  const lines = Array.from({ length: count }, (_, n) => JSON.stringify({ n, text: `줄 ${n} — 😀` }))
  const put = async (line, id) => {
    if (!id) throw new Error(`no RecordId for ${line}`)
    process.stdout.write(line + '\n')
  }
  const alone = lines.pop()
  const one = await client.send(new PutRecordCommand({ DeliveryStreamName: name, Record: { Data: Buffer.from(alone + '\n') } }))
  await put(alone, one.RecordId)
  while (lines.length > 0) {
    let batch = lines.splice(0, 500)
    for (let round = 0; batch.length > 0 && round < 20; round++) {
      const out = await client.send(new PutRecordBatchCommand({
        DeliveryStreamName: name, Records: batch.map(line => ({ Data: Buffer.from(line + '\n') })),
      }))
      const failed = batch.filter((_, i) => out.RequestResponses[i].ErrorCode)
      if (failed.length !== out.FailedPutCount) throw new Error(`FailedPutCount ${out.FailedPutCount}, ${failed.length} failed`)
      for (const [i, line] of batch.entries()) if (!out.RequestResponses[i].ErrorCode) await put(line, out.RequestResponses[i].RecordId)
      batch = failed
    }
    if (batch.length > 0) throw new Error(`${batch.length} records were never taken`)
  }
}

main(process.argv[2], Number(process.argv[3])).catch(err => { console.error(err); process.exit(1) })
