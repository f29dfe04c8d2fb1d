// The library: boot guests, run them, and look at what happened. Start from `Machine`. Nothing here needs Node; assembling
// loads the encoder when it is first asked to.

// Machines.
export { Machine } from './vmm/machine.ts';
export type { BootOptions } from './vmm/bootOptions.ts';
export type { DeviceName } from './vmm/pc.ts';
export { XEN_ROUTES, XEN_SOURCES, type XenRoute, type XenRouting, type XenSource } from './vmm/xen/routing.ts';
export type { MachineRestoreOptions, RunOptions } from './vmm/machine.ts';
export { snapshotFromBytes, snapshotToBytes } from './vmm/snapshot/file.ts';
export { SNAPSHOT_VERSION } from './vmm/snapshot/snapshot.ts';
export type { Snapshot } from './vmm/snapshot/snapshot.ts';
export { SnapshotError } from './vmm/snapshot/snapshotError.ts';
export type { BootModule } from './vmm/boot/start.ts';
export { EXIT_STATUS, exitStatus } from './vmm/result.ts';
export type { RunResult, RunResultKind } from './vmm/result.ts';
export type { Counters } from './vmm/counters.ts';
export type { InputDevice, InputEntry } from './vmm/input.ts';
export type { Screen } from './vmm/screen.ts';
export type { VcpuReport } from './vmm/vcpuReport.ts';
export { BootError } from './vmm/boot/bootError.ts';

// Guests.
export { DEFAULT_ORIGIN, ImageError } from './vmm/image.ts';
export type { Image, ImageFormat, ListingLine, Protocol, ProtocolName, Segment } from './vmm/image.ts';
export { assemble } from './assembler/assemble.ts';
export type { AssembleOptions } from './assembler/assemble.ts';
export { AssemblerError } from './assembler/problem.ts';
export { detect } from './vmm/loaders/detect.ts';
export type { Detection } from './vmm/loaders/detect.ts';
export { loadElf64 } from './vmm/loaders/elf.ts';
export { loadImage } from './vmm/loaders/protocols.ts';
export { loadRaw } from './vmm/loaders/raw.ts';
export { SymbolTable } from './vmm/symbols.ts';
export type { AddressRange, GuestSymbol, SymbolKind } from './vmm/symbols.ts';

// Devices of one's own.
export { CountingClock } from './hypervisor/bus/countingClock.ts';
export type { MmioDevice } from './hypervisor/bus/mmio.ts';
export type { PortDevice, PortRegister, PortSize } from './hypervisor/bus/ports.ts';

// The hypervisor and the host that it runs on.
export { PV_FEATURES } from './hypervisor/pv/features.ts';
export type { PvFeature, PvFeatureWish } from './hypervisor/pv/features.ts';
export type { SwapOptions } from './hypervisor/swap.ts';
export { CPU_MODELS } from './hypervisor/cpuModels.ts';
export type { CpuModel, CpuModelName } from './hypervisor/cpuModels.ts';
export type { Diagnostic } from './hypervisor/diagnostics.ts';
export { KVM_QUIRKS } from './hypervisor/lapic/quirks.ts';
export type { LapicQuirks } from './hypervisor/lapic/quirks.ts';
export type { LazyView, LazyWords } from './hypervisor/pv/lazyDebugfs.ts';
export { nameOfMsr } from './hypervisor/msrs.ts';
export { VcpuStateError } from './hypervisor/state/ioctl.ts';
export type { VcpuStateErrno } from './hypervisor/state/ioctl.ts';
export { restoreVcpu, saveVcpu } from './hypervisor/state/vcpuState.ts';
export type { VcpuState } from './hypervisor/state/vcpuState.ts';
export { vcpuStateFromJson, vcpuStateToJson } from './hypervisor/state/json.ts';
export { getRegs, setRegs } from './hypervisor/state/regs.ts';
export type { Regs } from './hypervisor/state/regs.ts';
export { getSregs, setSregs } from './hypervisor/state/sregs.ts';
export type { KvmDtable, Sregs } from './hypervisor/state/sregs.ts';
export type { KvmSegment } from './hypervisor/state/segment.ts';
export { getFpu, setFpu } from './hypervisor/state/fpu.ts';
export type { Fpu } from './hypervisor/state/fpu.ts';
export { getXcrs, setXcrs } from './hypervisor/state/xcrs.ts';
export type { KvmXcr, Xcrs } from './hypervisor/state/xcrs.ts';
export { getDebugregs, setDebugregs } from './hypervisor/state/debugregs.ts';
export type { Debugregs } from './hypervisor/state/debugregs.ts';
export { getMsrs, MSR_INDEX_LIST, setMsrs } from './hypervisor/state/msrs.ts';
export type { MsrEntry } from './hypervisor/state/msrs.ts';
export { getLapic, setLapic } from './hypervisor/state/lapicState.ts';
export type { LapicState } from './hypervisor/state/lapicState.ts';
export { getVcpuEvents, setVcpuEvents } from './hypervisor/state/vcpuEvents.ts';
export type { VcpuEvents } from './hypervisor/state/vcpuEvents.ts';
export { getMpState, setMpState } from './hypervisor/state/mpState.ts';
export type { KvmMpState } from './hypervisor/state/mpState.ts';
export { Host } from './host/host.ts';
export { COST_MODELS, costModel } from './host/costs.ts';
export type { CostModel } from './host/costs.ts';

// Xen guests: what their VMM says to the hypervisor, and asks.
export { getXenVcpuAttr, getXenVmAttr, setXenVcpuAttr, setXenVmAttr } from './hypervisor/xen/attributes.ts';
export type { XenVcpuAttr, XenVmAttr } from './hypervisor/xen/attributes.ts';
export type { XenCpuid } from './hypervisor/xen/cpuid.ts';
export { sendEvtchn } from './hypervisor/xen/evtchn.ts';
export type { Evtchn } from './hypervisor/xen/evtchn.ts';
export { XenIrqfd } from './hypervisor/xen/irqfd.ts';
export { EVTCHNSTAT, PRIO_2LEVEL, RUNSTATE, XEN_CONFIG, XenError } from './hypervisor/xen/names.ts';
export type { Runstate, XenErrno } from './hypervisor/xen/names.ts';
export type { RunstateData } from './hypervisor/xen/runstate.ts';
export type { Eventfd, SendPortChange, SendTarget } from './hypervisor/xen/sendPorts.ts';
export type { XenCounts } from './hypervisor/xen/stat.ts';
export type { XenTimerState } from './hypervisor/xen/timer.ts';
export type { XenHvmConfig } from './hypervisor/xen/xenVm.ts';

// What happened: probes, and what is made of them.
export { Probes } from './trace/probes.ts';
export type { ProbeEvents, ProbeName, ProbeSink } from './trace/probes.ts';
export { eventLines } from './trace/eventLines.ts';
export type { EventLineOptions, TracedHost, TracedTask } from './trace/eventLines.ts';
export type { TraceFormat } from './trace/envelopes.ts';
export { TRACEPOINTS } from './trace/tracepoints.ts';
export type { Tracepoint } from './trace/tracepoints.ts';
export { ExitLines } from './trace/exitLines.ts';
export type { ExitLine } from './trace/exitLines.ts';
export { ExitStatistics } from './trace/exitStatistics.ts';
export { msrReport, perfReport } from './trace/perfReport.ts';
export { describeExit, describeTripleFault } from './hypervisor/describe.ts';
export { EXIT } from './cpu/exit.ts';
export type { Exit, ExitName, TripleFault } from './cpu/exit.ts';
export { exitName } from './cpu/vmexit.ts';

// Experiments.
export type { Experiment, GuestLoader } from './lab/experiment.ts';
export { BRIEF_LAZY, compareLazy, LAZY_DESIGNS, lazyTscDeadline, runLazy } from './lab/lazyTscDeadline.ts';
export type { LazyComparison, LazyDesign, LazyExtent, LazyLoad, LazyRun } from './lab/lazyTscDeadline.ts';
export { ipiFastpath } from './lab/ipiFastpath.ts';
export type { IpiComparison, IpiRun } from './lab/ipiFastpath.ts';
export { timerLatency } from './lab/timerLatency.ts';
export type { TimerComparison, TimerRun } from './lab/timerLatency.ts';
export { timerOwnership } from './lab/timerOwnership.ts';
export type { OwnershipComparison, OwnershipRun } from './lab/timerOwnership.ts';
export { xenEvtchn } from './lab/xenEvtchn.ts';
export type { EventCase, EventComparison } from './lab/xenEvtchn.ts';
export { xenTimer } from './lab/xenTimer.ts';
export type { XenTimerComparison, XenTimerRun } from './lab/xenTimer.ts';
export { sensitivity } from './lab/sensitivity.ts';
export type { Sensitivity } from './lab/sensitivity.ts';
