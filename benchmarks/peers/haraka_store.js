'use strict'
// A Haraka queue that keeps its word: each message in a Maildir, file and folder synced before
// the 250. config/haraka_store.ini: task ("discard" removes the file again, "maildir" keeps it,
// "relay" hands the message to Haraka's outbound, for 127.0.0.1 port "sink"), folder, sink.

const fs = require('node:fs')
const path = require('node:path')

let count = 0

exports.register = function () {
  const { main } = this.config.get('haraka_store.ini')
  this.folder = main.folder
  this.keep = main.task === 'maildir'
  this.sink = Number(main.sink)
  this.register_hook('rcpt', 'take')
  if (main.task === 'relay') this.register_hook('get_mx', 'next_hop')
  else this.register_hook('queue', 'store')
  this.relay = main.task === 'relay'
}

exports.take = function (next, connection) {
  if (this.relay) connection.relaying = true // to queue_outbound, that is: to Haraka's outbound
  next(OK)
}

exports.next_hop = function (next) {
  next(OK, { priority: 0, exchange: '127.0.0.1', port: this.sink })
}

exports.store = function (next, connection) {
  const name = `${Date.now()}.${process.pid}_${count++}.mx`
  const incoming = path.join(this.folder, 'tmp', name)
  const place = path.join(this.folder, 'new', name)
  const done = (error) => {
    if (error) {
      connection.logerror(this, error.message)
      return next(DENYSOFT, 'The message could not be stored')
    }
    next(OK)
  }
  fs.open(incoming, 'wx', (error, file) => {
    if (error) return done(error)
    const stream = fs.createWriteStream(null, { fd: file, autoClose: false })
    stream.on('error', (failed) => fs.close(file, () => done(failed)))
    stream.on('finish', () => {
      this.sync_and_move(file, incoming, place).then(() => done(), done)
    })
    connection.transaction.message_stream.pipe(stream)
  })
}

exports.sync_and_move = async function (file, incoming, place) {
  const wait = (call, ...words) =>
    new Promise((resolve, reject) =>
      call(...words, (error, value) => (error ? reject(error) : resolve(value))),
    )
  await wait(fs.fsync, file)
  await wait(fs.close, file)
  await wait(fs.rename, incoming, place)
  const folder = await wait(fs.open, path.dirname(place), 'r')
  await wait(fs.fsync, folder)
  await wait(fs.close, folder)
  if (!this.keep) await wait(fs.unlink, place)
}
