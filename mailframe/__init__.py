"""mailframe: a mail host that operators compose out of plugins.

The map, floor by floor; imports run downwards only:

1. `smtp`          the language: commands, replies, the two dialogues; no I/O, no Twisted
   `mime`          header fields, parts, 8-bit to 7-bit: the only reader of headers
2. `message`       what travels: Client, Envelope, Recipient, Content, Route, Outcome, Entry
   `eventual`      values that are there now or come later;  `domains` one spelling of a name
   `repeated`    what would be logged over and over
3. `interfaces`    every hook on one page
   `plugin`        how a plugin is declared and what it is given;  `settings` the host's own
4. `hooks`         the composed plugins: asking, combining, timing, failing
   `registry`, `config`   finding plugins; mailframe.toml
   `resolver`, `tls`, `maildir`, `watched_file`, `prompt`   what several rooms and plugins share
5. `reception`     the way in;  `queue` the waiting room;  `transmission` the way out
6. `host`, `tap`, `command_line`   one Twisted service, twistd, the operator
   `testing`       public: the test kit for plugin authors

The path of one message: `reception.listener` turns bytes into the dialogue's events;
`reception.session` answers each by asking `hooks` (relay, route, filters); the content
streams into a draft of the queue's store, whose commit makes it durable before the 250;
`queue.scheduler` asks the routes again and hands it to delivery agents, records every
recipient's outcome, and turns what failed into a report.
"""
