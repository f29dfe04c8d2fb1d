// `trapline tour`: the main job in short, over the guests that come with trapline.

import type { Command } from './command.ts';

export const tour: Command = {
  name: 'tour',
  usage: '',
  summary: 'A short tour over the guests in guests/.',
  options: [],
  async run() {
    return 0;
  },
};
