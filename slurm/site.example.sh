# shellcheck shell=bash
# What is of your site: copy to site.sh beside this file and edit. step.sh reads it before every step.

# Software. With modules, or Spack (slurm/spack/package.py):
# module load gcc/12 openmpi/4.1 hdf5/1.14-mpi
# spack load thresher
export PATH=$HOME/thresher/build:$HOME/thresher/.venv/bin:$PATH

# In a container (slurm/thresher.def), put a `thresher` of two lines into the PATH instead:
#   #!/bin/sh
#   exec apptainer exec --nv /apps/thresher.sif thresher "$@"

# MPI. Nothing is needed where srun --mpi=list shows pmix and Open MPI was built with it. On a network that Open MPI does not find by itself:
# export OMPI_MCA_pml=ucx UCX_NET_DEVICES=mlx5_0:1
# export NCCL_SOCKET_IFNAME=ib0 NCCL_IB_HCA=mlx5

# HDF5 on a parallel file system that has no locks (its error says "unable to lock file"):
# export HDF5_USE_FILE_LOCKING=FALSE

# Options for every srun, such as binding:
# srun_options+=(--cpu-bind=cores)
