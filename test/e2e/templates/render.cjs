// Renders templates with engines that are not ours: a list of requests on
// standard input, a list of {output} or {error} on standard output.
const velocity = require('velocityjs')
const mapping = require('api-gateway-mapping-template')

const variables = () => ({
  s: 'text', empty: '', n: 3, z: 0, d: 2.5, yes: true, no: false, ko: '한국어 😀',
  list: [1, 'two', { three: 3 }], map: { a: 1, b: { c: [1, 2] }, d: 'x' }, words: ['x', 'y', 'z'],
})

const engines = {
  velocity: r => velocity.render(r.template, variables()),
  mapping: r => mapping({
    template: r.template, payload: r.payload, stageVariables: { v: 'sv' }, context: { stage: 'PROD', httpMethod: 'POST' },
    params: { path: {}, querystring: { q: 'Q' }, header: { 'X-Key': 'k' } },
  }),
}

const requests = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const answers = requests.map(r => {
  try {
    return { output: String(engines[r.engine](r)) }
  } catch (e) {
    return { error: String(e.message || e).split('\n')[0] }
  }
})
process.stdout.write(JSON.stringify(answers))
