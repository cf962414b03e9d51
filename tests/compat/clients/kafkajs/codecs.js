// The codecs that kafkajs leaves to other packages. node codecs.js <codec>: exit status 0 if it works here.
const { CompressionCodecs, CompressionTypes } = require('kafkajs')

const make = {
  gzip: () => null, // its own
  snappy: () => require('kafkajs-snappy'),
  lz4: () => {
    const lz4 = require('lz4-napi')
    return () => ({ compress: encoder => lz4.compressFrame(encoder.buffer), decompress: buffer => lz4.decompressFrame(buffer) })
  },
  zstd: () => {
    const ready = new Promise(resolve => require('zstd-codec').ZstdCodec.run(zstd => resolve(new zstd.Simple())))
    return () => ({
      compress: async encoder => Buffer.from((await ready).compress(encoder.buffer, 3)),
      decompress: async buffer => Buffer.from((await ready).decompress(buffer))
    })
  }
}

// Registers a codec with kafkajs; its type.
exports.use = name => {
  const codec = make[name]()
  if (codec) CompressionCodecs[CompressionTypes[{ snappy: 'Snappy' }[name] || name.toUpperCase()]] = codec
  return CompressionTypes[{ snappy: 'Snappy' }[name] || name.toUpperCase()]
}

async function probe(name) {
  const text = Buffer.from('the same words again, '.repeat(100))
  const codec = CompressionCodecs[exports.use(name)]()
  if (!text.equals(await codec.decompress(await codec.compress({ buffer: text })))) throw new Error('other bytes came out')
}

if (require.main === module) probe(process.argv[2]).catch(e => { console.log(e.message.split('\n')[0]); process.exit(1) })
