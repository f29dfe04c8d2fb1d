// `trapline lab NAME`: an experiment's table.

import { UsageError, type Command } from './command.ts';

export const lab: Command = {
  name: 'lab',
  usage: 'NAME',
  summary: 'Runs an experiment and prints its table.',
  options: [],
  async run(args) {
    throw new UsageError(`there is no experiment '${args.files.join(' ')}'`);
  },
};
