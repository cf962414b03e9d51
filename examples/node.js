// Produce and consume with kafkajs: node node.js <broker> <topic>
const { Kafka, logLevel } = require('kafkajs')

const [broker, topic] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'example', brokers: [broker], logLevel: logLevel.ERROR })

async function main() {
  const producer = kafka.producer({ allowAutoTopicCreation: true })
  await producer.connect()
  await producer.send({ topic, messages: [1, 2, 3].map(n => ({ key: `k${n}`, value: `message ${n}` })) })
  await producer.disconnect()
  console.log('sent three messages')

  const consumer = kafka.consumer({ groupId: `${topic}-group`, maxWaitTimeInMs: 200 })
  const got = []
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${got.length} messages came`)), 180000).unref()
    consumer.run({
      eachMessage: async ({ message }) => {
        got.push(message.value.toString())
        console.log(`read ${message.value}`)
        if (got.length === 3) resolve()
      }
    }).catch(reject)
  })
  await consumer.disconnect()
  if (got.sort().join() !== 'message 1,message 2,message 3') throw new Error(`got ${got}`)
}

main().catch(e => { console.error(e.message); process.exit(1) })
