import { describe, expect, it } from 'vitest';
import { KVM_REQ, Requests } from '../../src/hypervisor/requests.ts';

describe('requests of a vCPU', () => {
  it.each(Object.entries(KVM_REQ))('%s (bit %i) is made, seen, taken once and gone', (_, request) => {
    const requests = new Requests();
    expect(requests.check(request)).toBe(false);
    requests.make(request);
    requests.make(request);
    expect(requests.pending).toBe(true);
    expect(requests.bits).toBe(2 ** request);
    expect(requests.test(request)).toBe(true);
    expect(requests.check(request)).toBe(true);
    expect(requests.pending).toBe(false);
    expect(requests.bits).toBe(0);
  });

  it('taking one leaves the others', () => {
    const requests = new Requests();
    const all = Object.values(KVM_REQ);
    all.forEach((request) => requests.make(request));
    requests.clear(KVM_REQ.EVENT);
    expect(all.filter((request) => !requests.test(request))).toEqual([KVM_REQ.EVENT]);
  });

  it('has the numbers that KVM has', () => {
    expect(KVM_REQ).toMatchObject({
      TLB_FLUSH: 0,
      UNBLOCK: 2,
      MIGRATE_TIMER: 8,
      EVENT: 14,
      NMI: 17,
      LAZY_TSCDEADLINE: 41,
    });
  });
});
