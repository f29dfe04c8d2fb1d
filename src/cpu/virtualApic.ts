// APIC virtualisation in x2APIC mode: what the processor itself does with a guest's local APIC while the guest runs (SDM vol. 3,
// chapter 29, "APIC virtualization and virtual interrupts"). Whose registers the page holds, the processor does not know.
//
// Theory. The guest's APIC registers lie in the virtual-APIC page, at the offsets of the xAPIC. RVI, the highest requested
// vector, and SVI, the highest in service, stand for VIRR and VISR wherever priorities are compared. An interrupt is pending
// when RVI's class is above VPPR's; that changes only at an entry, by a write of TPR, EOI or self-IPI, or when posted
// interrupts arrive: so asking at each boundary where something may have changed is asking at all of them. Exits that APIC
// writes cause come behind the instruction, as traps do.

import { GPR } from '../x86/names/registers.ts';
import { X2APIC_FIRST, X2APIC_LAST, X2APIC_MSR } from '../x86/names/msrs.ts';
import { EXIT } from './exit.ts';
import { raise } from './fault.ts';
import type { Outcome } from './microcode/microcode.ts';
import type { SavedFields } from './savedFields.ts';
import type { CpuState } from './state.ts';
import { leaveGuest } from './vmexit.ts';

const VECTOR_WORDS = 8;

/** The posted-interrupt descriptor, as the processor uses it: both are indivisible accesses (SDM vol. 3, 29.6). */
export interface PostedInterruptDescriptor {
  /** Clears ON, the outstanding notification. */
  clearOn(): void;
  /** Takes the requests of vectors 32 * word to 32 * word + 31. */
  takePir(word: number): number;
}

/** The VM-execution controls of APIC virtualisation. A CPU that has them uses the TPR shadow. */
export class VirtualApic {
  /** The virtual-APIC page by 32-bit words; what it is too short for reads as 0. */
  readonly page: Uint32Array;
  virtualizeX2apicMode = false;
  apicRegisterVirtualization = false;
  virtualInterruptDelivery = false;
  /** Process posted interrupts: null, when the control is 0. */
  postedInterrupts: PostedInterruptDescriptor | null = null;
  /** Without virtual-interrupt delivery: the class below which TPR must not fall without an exit. */
  tprThreshold = 0;
  /** A set bit: the end of an interrupt with that vector exits. */
  readonly eoiExitBitmap = new Uint32Array(VECTOR_WORDS);

  constructor(page: Uint32Array) {
    this.page = page;
  }

  /** What a snapshot keeps; the page is its owner's. */
  transfer(fields: SavedFields): void {
    fields.own<VirtualApic>(
      this,
      'virtualizeX2apicMode',
      'apicRegisterVirtualization',
      'virtualInterruptDelivery',
      'tprThreshold',
    );
    fields.elements('eoiExitBitmap', this.eoiExitBitmap);
  }
}

/** Word of the page that holds the register behind an MSR. */
const wordOf = (index: number): number => (index - X2APIC_FIRST) << 2;
const TPR = wordOf(X2APIC_MSR.TPR);
const PPR = wordOf(X2APIC_MSR.PPR);
const EOI = wordOf(X2APIC_MSR.EOI);
const ISR = wordOf(X2APIC_MSR.ISR0);
const IRR = wordOf(X2APIC_MSR.IRR0);
const SELF_IPI = wordOf(X2APIC_MSR.SELF_IPI);
/** Words from one register to the next. */
const STEP = 4;
const PRIORITY_CLASS = 0xf0;
const CLASS_SHIFT = 4;
/** Offset in bytes of a register, for the qualification of APIC-write exits. */
const offsetOf = (index: number): bigint => BigInt((index - X2APIC_FIRST) << 4);

// The processor's own accesses to its page: host code never comes between them, so these are no cells (lapic/priority.ts).
const vectorWord = (file: number, vector: number): number => file + (vector >> 5) * STEP;
const setVector = (page: Uint32Array, file: number, vector: number): void =>
  void (page[vectorWord(file, vector)]! |= 1 << (vector & 31));
const clearVector = (page: Uint32Array, file: number, vector: number): void =>
  void (page[vectorWord(file, vector)]! &= ~(1 << (vector & 31)));

/** The highest vector of a file; 0 when it is empty, as RVI and SVI say it. */
function highestVector(page: Uint32Array, file: number): number {
  for (let i = VECTOR_WORDS - 1; i >= 0; i--) {
    const word = page[file + i * STEP]!;
    if (word !== 0) return i * 32 + 31 - Math.clz32(word);
  }
  return 0;
}

/** PPR virtualisation (29.1.3). VM entry does it, too. */
export function virtualizePpr({ svi }: CpuState, { page }: VirtualApic): void {
  const tpr = page[TPR]! & 0xff;
  page[PPR] = tpr >> CLASS_SHIFT >= svi >> CLASS_SHIFT ? tpr : svi & PRIORITY_CLASS;
}

/** Evaluation of pending virtual interrupts (29.2.1). */
export const isVirtualInterruptPending = ({ rvi }: CpuState, apic: VirtualApic): boolean =>
  apic.virtualInterruptDelivery && rvi >> CLASS_SHIFT > apic.page[PPR]! >> CLASS_SHIFT;

/** Virtual-interrupt delivery up to the IDT (29.2.2): the vector is in service now. */
export function takeVirtualInterrupt(state: CpuState, { page }: VirtualApic): number {
  const vector = state.rvi;
  setVector(page, ISR, vector);
  state.svi = vector;
  page[PPR] = vector & PRIORITY_CLASS;
  clearVector(page, IRR, vector);
  state.rvi = highestVector(page, IRR);
  return vector;
}

/** Posted-interrupt processing (29.6), from the clearing of ON to the merge into VIRR: the notification has arrived. */
export function processPostedInterrupts(
  state: CpuState,
  { page }: VirtualApic,
  descriptor: PostedInterruptDescriptor,
): void {
  descriptor.clearOn();
  for (let word = 0; word < VECTOR_WORDS; word++) page[IRR + word * STEP]! |= descriptor.takePir(word);
  state.rvi = Math.max(state.rvi, highestVector(page, IRR));
}

/** Behind what may have made a virtual interrupt deliverable. */
const evaluated = (state: CpuState, apic: VirtualApic): Outcome =>
  isVirtualInterruptPending(state, apic) ? 'end' : 'next';

/** TPR virtualisation (29.1.2). */
function virtualizeTpr(state: CpuState, apic: VirtualApic): Outcome {
  if (apic.virtualInterruptDelivery) {
    virtualizePpr(state, apic);
    return evaluated(state, apic);
  }
  if (apic.page[TPR]! >> CLASS_SHIFT >= apic.tprThreshold) return 'next';
  return trap(state, EXIT.TPR_BELOW_THRESHOLD);
}

/** EOI virtualisation (29.1.4). */
function virtualizeEoi(state: CpuState, apic: VirtualApic): Outcome {
  const { page, eoiExitBitmap } = apic;
  const vector = state.svi;
  clearVector(page, ISR, vector);
  state.svi = highestVector(page, ISR);
  virtualizePpr(state, apic);
  if (((eoiExitBitmap[vector >> 5]! >>> (vector & 31)) & 1) === 0) return evaluated(state, apic);
  return trap(state, EXIT.EOI_INDUCED, BigInt(vector));
}

/** Self-IPI virtualisation (29.1.5). */
function virtualizeSelfIpi(state: CpuState, apic: VirtualApic, vector: number): Outcome {
  setVector(apic.page, IRR, vector);
  state.rvi = Math.max(state.rvi, vector);
  return evaluated(state, apic);
}

function trap(
  state: CpuState,
  reason: typeof EXIT.TPR_BELOW_THRESHOLD | typeof EXIT.EOI_INDUCED | typeof EXIT.APIC_WRITE,
  qualification = 0n,
): 'trap' {
  // prettier-ignore
  leaveGuest(state, reason, 0, qualification);
  return 'trap';
}

const isX2apic = (index: number): boolean => index >= X2APIC_FIRST && index <= X2APIC_LAST;

/** RDMSR that does not exit (29.5): EDX:EAX from the page; null: an MSR like any other. */
export function readVirtualMsr(apic: VirtualApic, index: number): bigint | null {
  if (!apic.virtualizeX2apicMode || !isX2apic(index)) return null;
  if (!apic.apicRegisterVirtualization && index !== X2APIC_MSR.TPR) return null;
  const { page } = apic;
  const word = wordOf(index);
  return (BigInt(page[word + 1] ?? 0) << 32n) | BigInt(page[word] ?? 0);
}

/** WRMSR that does not exit (29.5); null: an MSR like any other. */
export function writeVirtualMsr(state: CpuState, apic: VirtualApic, index: number): Outcome | null {
  if (!apic.virtualizeX2apicMode) return null;
  const low = state.gpr32(GPR.RAX);
  const high = state.gpr32(GPR.RDX);
  switch (index) {
    case X2APIC_MSR.TPR:
      if (high !== 0 || low > 0xff) raise.gp(0);
      apic.page[TPR] = low;
      return virtualizeTpr(state, apic);
    case X2APIC_MSR.EOI:
      if (!apic.virtualInterruptDelivery) return null;
      if (high !== 0 || low !== 0) raise.gp(0);
      apic.page[EOI] = 0;
      return virtualizeEoi(state, apic);
    case X2APIC_MSR.SELF_IPI:
      if (!apic.virtualInterruptDelivery) return null;
      if (high !== 0 || low > 0xff) raise.gp(0);
      apic.page[SELF_IPI] = low;
      if (low >> CLASS_SHIFT === 0) return trap(state, EXIT.APIC_WRITE, offsetOf(index));
      return virtualizeSelfIpi(state, apic, low);
    default:
      return null;
  }
}

/** MOV from CR8, which the TPR shadow answers (29.3). */
export const readVirtualCr8 = ({ page }: VirtualApic): bigint => BigInt((page[TPR]! & 0xff) >> CLASS_SHIFT);

/** MOV to CR8: the other bits of VTPR become 0. `value` is at most 15. */
export function writeVirtualCr8(state: CpuState, apic: VirtualApic, value: bigint): Outcome {
  apic.page[TPR] = Number(value) << CLASS_SHIFT;
  return virtualizeTpr(state, apic);
}
