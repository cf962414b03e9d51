// One member of a consumer group, in a process of its own: node member.js <address> <topic> <group>
// Prints a line per event, as group_member.py does: "assigned 0,1", "got <partition> <offset>", "committed", "left".
// Commits after every batch. Leaves when its input ends. Its session lasts MEMBER_SESSION_MS.
const { Kafka, logLevel } = require('kafkajs')

const [address, topic, groupId] = process.argv.slice(2)
const sessionTimeout = Number(process.env.MEMBER_SESSION_MS || 30000)
const kafka = new Kafka({ clientId: 'member', brokers: [address], logLevel: logLevel.NOTHING, connectionTimeout: 10000, requestTimeout: 10000, retry: { retries: 100, initialRetryTime: 100, maxRetryTime: 1000 } })

async function main() {
  const consumer = kafka.consumer({ groupId, sessionTimeout, rebalanceTimeout: 60000, heartbeatInterval: 300, maxWaitTimeInMs: 200 })
  consumer.on(consumer.events.GROUP_JOIN, e => {
    const mine = (e.payload.memberAssignment[topic] || []).slice().sort((a, b) => a - b)
    console.log(`assigned ${mine.join(',') || '-'}`)
  })
  process.stdin.on('end', async () => {
    await consumer.disconnect()
    console.log('left')
    process.exit(0)
  }).resume()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, resolveOffset }) => {
      for (const message of batch.messages) {
        console.log(`got ${batch.partition} ${message.offset}`)
        resolveOffset(message.offset)
      }
      try {
        await consumer.commitOffsets([{ topic, partition: batch.partition, offset: String(Number(batch.lastOffset()) + 1) }])
        console.log('committed')
      } catch (e) { // a rebalance: what was read is read again by who gets it
        console.log(`not committed ${e.type || e.name}`)
      }
    }
  })
}

main()
