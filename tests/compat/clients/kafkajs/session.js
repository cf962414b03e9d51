// A session with kafkajs: node session.js <address> <prefix of topic names> [codec]; with a codec, the step of that alone.
// Prints one line per step: "ok <step>" or "FAIL <step>: <reason>"; exit status 1 if one failed.
const { Kafka, logLevel } = require('kafkajs')
const codecs = require('./codecs')

const [address, prefix, onlyCodec] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'session', brokers: [address], logLevel: logLevel.NOTHING, connectionTimeout: 30000, retry: { retries: 8 } })
const lines = Array.from({ length: 300 }, (_, i) => `${i} line with ünïcode and { "json": true }`)
const WAIT_MS = 180000

function same(got, wanted, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)]
  if (a !== b) throw new Error(`${what}: got ${a.slice(0, 300)}, wanted ${b.slice(0, 300)}`)
}

async function create(name, numPartitions = 1) {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: `${prefix}-${name}`, numPartitions, replicationFactor: 1 }], waitForLeaders: true })
  await admin.disconnect()
  return `${prefix}-${name}`
}

async function produce(topic, messages, options = {}, send = {}) {
  const producer = kafka.producer({ allowAutoTopicCreation: false, ...options })
  await producer.connect()
  const result = await producer.send({ topic, acks: -1, messages, ...send })
  await producer.disconnect()
  return result
}

// Runs a consumer until done(received) is true; returns what it received.
async function consume(groupId, subscription, done, options = {}, auto = true) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 30000, heartbeatInterval: 500, maxWaitTimeInMs: 200, ...options })
  const received = []
  await consumer.connect()
  await consumer.subscribe({ fromBeginning: true, ...subscription })
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`only ${received.length} messages in ${WAIT_MS} ms`)), WAIT_MS)
    consumer.on(consumer.events.CRASH, e => reject(e.payload.error))
    consumer.run({
      autoCommit: auto,
      eachMessage: async ({ topic, partition, message }) => {
        if (done(received)) return
        received.push({ topic, partition, offset: Number(message.offset), key: message.key && message.key.toString(), value: message.value.toString() })
        if (!auto) await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
        if (done(received)) { clearTimeout(timer); resolve() }
      }
    }).catch(reject)
  })
  await consumer.disconnect()
  return received
}

// Compressed by an idempotent producer, several batches.
async function codec(name) {
  const topic = await create(`codec-${name}`)
  const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const send = part => producer.send({ topic, acks: -1, compression: codecs.use(name), messages: part.map(value => ({ value })) })
  for (let at = 0; at < lines.length; at += 100) await send(lines.slice(at, at + 100))
  await producer.disconnect()
  const got = await consume(`${prefix}-codec-${name}`, { topics: [topic] }, r => r.length === lines.length)
  same(got.map(m => m.value), lines, 'values')
}

const steps = {
  async produce_and_read() {
    const topic = await create('plain')
    const [meta] = await produce(topic, lines.map(value => ({ value })))
    same([meta.errorCode, meta.baseOffset], [0, '0'], 'answer')
    const got = await consume(`${prefix}-plain`, { topics: [topic] }, r => r.length === lines.length)
    same(got.map(m => m.value), lines, 'values')
  },
  async many_at_once() {
    const topic = await create('async')
    const producer = kafka.producer({ allowAutoTopicCreation: false })
    await producer.connect()
    const answers = await Promise.all(lines.slice(0, 50).map(value => producer.send({ topic, messages: [{ value }] })))
    await producer.disconnect()
    same(answers.map(([a]) => Number(a.baseOffset)).sort((a, b) => a - b), lines.slice(0, 50).map((_, i) => i), 'offsets of the answers')
    const got = await consume(`${prefix}-async`, { topics: [topic] }, r => r.length === 50)
    same(got.map(m => m.value).sort(), lines.slice(0, 50).sort(), 'values')
  },
  gzip_and_idempotent: () => codec('gzip'),
  async keys_stay_together() {
    const topic = await create('keyed', 3)
    await produce(topic, lines.map((value, i) => ({ key: `k${i % 7}`, value })))
    const got = await consume(`${prefix}-keyed`, { topics: [topic] }, r => r.length === lines.length)
    const where = {}
    for (const m of got) (where[m.key] = where[m.key] || new Set()).add(m.partition)
    same(Object.values(where).map(s => s.size), Array(7).fill(1), 'partitions of each key')
  },
  async commit_and_resume() {
    const topic = await create('resume')
    await produce(topic, lines.slice(0, 60).map(value => ({ value })))
    const first = await consume(`${prefix}-resume`, { topics: [topic] }, r => r.length === 25, {}, false)
    const admin = kafka.admin()
    await admin.connect()
    const [{ partitions }] = await admin.fetchOffsets({ groupId: `${prefix}-resume`, topics: [topic] })
    same(partitions[0].offset, '25', 'committed offset')
    const second = await consume(`${prefix}-resume`, { topics: [topic] }, r => r.length === 35, {}, false)
    same(first.concat(second).map(m => m.value), lines.slice(0, 60), 'values over both')
    const { groups } = await admin.listGroups()
    same(groups.some(g => g.groupId === `${prefix}-resume`), true, 'group is listed')
    const described = await admin.describeGroups([`${prefix}-resume`])
    same([described.groups[0].errorCode, described.groups[0].state], [0, 'Empty'], 'description')
    await admin.disconnect()
  },
  async two_share() {
    const topic = await create('pair', 4)
    const assigned = [new Set(), new Set()], consumers = []
    for (const i of [0, 1]) {
      const c = kafka.consumer({ groupId: `${prefix}-pair`, sessionTimeout: 30000, heartbeatInterval: 300, rebalanceTimeout: 60000 })
      c.on(c.events.GROUP_JOIN, e => { assigned[i] = new Set(e.payload.memberAssignment[topic] || []) })
      await c.connect()
      await c.subscribe({ topics: [topic], fromBeginning: true })
      await c.run({ eachMessage: async () => {} })
      consumers.push(c)
    }
    const until = Date.now() + WAIT_MS
    while (!(assigned[0].size === 2 && assigned[1].size === 2)) {
      if (Date.now() > until) throw new Error(`assigned ${[...assigned[0]]} and ${[...assigned[1]]}`)
      await new Promise(r => setTimeout(r, 100))
    }
    same([...assigned[0], ...assigned[1]].sort(), [0, 1, 2, 3], 'partitions of both')
    await consumers[0].disconnect()
    while (assigned[1].size !== 4) {
      if (Date.now() > until) throw new Error(`left alone with ${[...assigned[1]]}`)
      await new Promise(r => setTimeout(r, 100))
    }
    await consumers[1].disconnect()
  },
  async seek_back() {
    const topic = await create('seek')
    await produce(topic, lines.slice(0, 30).map(value => ({ value })))
    const consumer = kafka.consumer({ groupId: `${prefix}-seek`, maxWaitTimeInMs: 200 })
    const offsets = []
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`only ${offsets.length} messages in ${WAIT_MS} ms`)), WAIT_MS)
      consumer.run({
        eachMessage: async ({ message }) => {
          offsets.push(Number(message.offset))
          if (offsets.length === 30) consumer.seek({ topic, partition: 0, offset: '25' })
          if (offsets.length === 35) { clearTimeout(timer); resolve() }
        }
      }).catch(reject)
    })
    await consumer.disconnect()
    same(offsets.slice(30), [25, 26, 27, 28, 29], 'offsets after the seek')
  },
  // Fetches at the end come back with nothing after their time, and go on: what is sent then is read.
  async nothing_in_time() {
    const topic = await create('nothing')
    const consumer = kafka.consumer({ groupId: `${prefix}-nothing`, maxWaitTimeInMs: 100 })
    const empty = []
    consumer.on(consumer.events.FETCH, e => { if (e.payload.numberOfBatches === 0) empty.push(e.payload.duration) })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${empty.length} empty fetches in ${WAIT_MS} ms`)), WAIT_MS)
      let sent = false
      consumer.run({
        eachMessage: async ({ message }) => {
          clearTimeout(timer)
          if (sent && message.value.toString() === 'late') resolve()
          else reject(new Error(`read ${message.value} from beyond the end`))
        }
      }).catch(reject)
      const watch = setInterval(() => {
        if (empty.length < 3 || sent) return
        sent = true
        clearInterval(watch)
        produce(topic, [{ value: 'late' }]).catch(reject)
      }, 50)
    })
    await consumer.disconnect()
    same(empty.slice(0, 3).every(ms => ms >= 50), true, `fetches that waited, ${empty.slice(0, 3)}`)
  },
  async pattern() {
    const topic = await create('by-pattern-1')
    await produce(topic, lines.slice(0, 10).map(value => ({ value })))
    const got = await consume(`${prefix}-pattern`, { topics: [new RegExp(`^${prefix}-by-pattern-.*`)] }, r => r.length === 10)
    same(got.map(m => m.value), lines.slice(0, 10), 'values')
  }
}

async function main() {
  let failed = 0
  for (const [name, step] of Object.entries(onlyCodec ? { [`codec_${onlyCodec}`]: () => codec(onlyCodec) } : steps)) {
    try {
      await step()
      console.log(`ok ${name}`)
    } catch (e) {
      failed = 1
      console.log(`FAIL ${name}: ${e.name}: ${e.message}`)
    }
  }
  process.exit(failed)
}

main()
